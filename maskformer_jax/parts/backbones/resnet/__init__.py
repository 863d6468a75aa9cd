"""ResNet backbones."""

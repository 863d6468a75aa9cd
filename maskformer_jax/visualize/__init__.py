"""Drawing label maps, segments and instances over images."""

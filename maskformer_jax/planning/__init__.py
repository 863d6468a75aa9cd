"""What a program would cost on devices that are not there, as their compilers tell."""

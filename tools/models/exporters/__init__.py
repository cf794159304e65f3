"""Small networks as the exporters and quantizers of today write them: nets, styles, and the command that makes all."""

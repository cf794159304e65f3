"""Small networks as the exporters and quantizers of today write them: nets and styles."""

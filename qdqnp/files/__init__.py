"""Read files with distrust, and write them whole or not at all."""

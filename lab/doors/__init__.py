"""The only modules that touch processes, ssh, time, files and the terminal."""

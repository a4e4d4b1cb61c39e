"""The emulated workstation: a fresh machine with systemd and KVM on which the README's commands are typed. Pure."""

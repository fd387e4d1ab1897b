"""The command line of wa-hooks. Installed as `wa_hooks_cli`, since `cli` would collide with other packages."""

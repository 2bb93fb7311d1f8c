"""The built-in parts, one file each; `hooks` offers them through the door that everybody uses."""

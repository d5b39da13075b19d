"""The native library of ARM in an emulator, for `make arm-check`."""

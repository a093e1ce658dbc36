"""Every kind of run. Modules in this folder are discovered; a broken one stops the boot."""

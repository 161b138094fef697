"""What happens around a run: one module for each concern; `gnet.settings` lists the hooks for Kedro.

Kedro imports these modules for every command, `kedro --help` too: whatever takes long to import (pandas,
torch, the registry) is imported in the function that uses it.
"""

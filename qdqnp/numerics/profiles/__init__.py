"""The profiles that come with qdqnp, by name. One file per family holds values only.

A module of this folder is found if it has PROFILES, a sequence of profiles. It then has these names too:

    ORDER: the module's place where profiles are listed; of two profiles that serve equally the earlier is taken
    ALIASES: other names of its profiles; optional
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from types import ModuleType

from qdqnp.errors import Problem, ProfileError, did_you_mean
from qdqnp.numerics.profile import Profile


def _modules() -> list[ModuleType]:
    """Return the modules of this folder that have profiles, in order."""
    names = [found.name for found in pkgutil.iter_modules(__path__)]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return sorted((module for module in modules if hasattr(module, "PROFILES")), key=lambda module: module.ORDER)


PROFILES: Mapping[str, Profile] = {profile.name: profile for module in _modules() for profile in module.PROFILES}
ALIASES: Mapping[str, str] = {
    alias: name for module in _modules() for alias, name in getattr(module, "ALIASES", {}).items()
}


def profile_named(profile: str | Profile) -> Profile:
    """Return the profile of that name or alias, or a Profile as it is. Raises ProfileError for an unknown name.

    >>> profile_named("tflite").conv.stages[-1]
    ShiftRight(rounding='half-away')
    """
    if isinstance(profile, Profile):
        return profile
    name = ALIASES.get(profile, profile)
    if name not in PROFILES:
        known = sorted([*PROFILES, *ALIASES])
        read = "Read a file with qdqnp.numerics.profile_toml.load_profile."
        hint = read if profile.endswith(".toml") else did_you_mean(profile, known)
        raise ProfileError("no such profile", [Problem("profile", f"one of {', '.join(known)}", repr(profile), hint)])
    return PROFILES[name]

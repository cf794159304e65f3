"""The profiles that come with qdqnp, by name. One file per family, each holding values only."""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles.ort import ORT

PROFILES: Mapping[str, Profile] = {profile.name: profile for profile in (ORT,)}


def profile_named(profile: str | Profile) -> Profile:
    """The profile of that name; a Profile is returned as it is. Raises ProfileError for an unknown name."""
    if isinstance(profile, Profile):
        return profile
    if profile not in PROFILES:
        known = ", ".join(sorted(PROFILES))
        raise ProfileError("no such profile", [Problem("profile", f"one of {known}", repr(profile))])
    return PROFILES[profile]

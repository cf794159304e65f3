"""The profiles that come with qdqnp, by name. One file per family, each holding values only."""

from __future__ import annotations

from collections.abc import Mapping

from qdqnp.errors import Problem, ProfileError
from qdqnp.numerics.profile import Profile
from qdqnp.numerics.profiles import ort, others, tflite, tosa
from qdqnp.numerics.profiles.exact import EXACT
from qdqnp.numerics.profiles.neural_art import NEURAL_ART

PROFILES: Mapping[str, Profile] = {
    profile.name: profile
    for profile in (*ort.PROFILES, EXACT, *tflite.PROFILES, NEURAL_ART, *tosa.PROFILES, *others.PROFILES)
}
ALIASES: Mapping[str, str] = {"neural-art": NEURAL_ART.name}


def profile_named(profile: str | Profile) -> Profile:
    """The profile of that name or alias; a Profile is returned as it is. Raises ProfileError for an unknown name."""
    if isinstance(profile, Profile):
        return profile
    name = ALIASES.get(profile, profile)
    if name not in PROFILES:
        known = ", ".join(sorted([*PROFILES, *ALIASES]))
        raise ProfileError("no such profile", [Problem("profile", f"one of {known}", repr(profile))])
    return PROFILES[name]

"""Generated usernames: of guests, and of erased players.

They are random, so they reveal neither how many there are nor in which order they were created.
"""

import secrets


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


ADJECTIVES = _words("""
    agile amber bold brave bright brisk calm civil clever cosmic crisp curious deft eager early fair fleet fond
    frank gentle glad golden grand hardy humble jolly keen kind lively loyal lucky mellow merry mild modest neat
    nimble noble placid plucky polite proud quick quiet rapid ready royal sage serene sharp silver sleek smart snug
    spry steady still sunny swift tidy vivid warm wise witty
""")
ANIMALS = _words("""
    badger beaver bison bobcat camel crane curlew dingo dove eagle egret falcon ferret finch fox gecko gibbon
    grouse hare hawk heron ibex ibis jackal jay koala lark lemur linnet llama lynx magpie marmot marten mole moose
    newt ocelot orca osprey otter owl panda pigeon plover puffin quail rabbit raven robin salmon seal shrew sparrow
    stoat stork swan tapir tern thrush tiger toad trout turtle
""")
ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
"""Letters and digits that are not mistaken for each other."""


def guest_name() -> str:
    """Return a name such as `quiet-heron-7f3kq2m`: one of about 10^14, so it is almost never taken."""
    return f"{secrets.choice(ADJECTIVES)}-{secrets.choice(ANIMALS)}-{_random(7)}"


def erased_name() -> str:
    """Return the name that replaces the username of an erased player."""
    return f"erased-{_random(12)}"


def _random(n: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(n))

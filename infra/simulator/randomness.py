"""Seeded randomness: each part of the world draws from a named stream of its own, so a new draw moves no other part."""

import zlib

import numpy as np

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def stream(seed: int, *names: object) -> np.random.Generator:
    """Return the generator of one named stream, the same for the same seed and names on every machine."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *(_number(n) for n in names)])))


def _number(name: object) -> int:
    return name if isinstance(name, int) else zlib.crc32(str(name).encode())


def hashed(index: np.ndarray, seed: int, name: str) -> np.ndarray:
    """Mix whole numbers into uniform 64-bit ones (splitmix64).

    Attributes of people and goods are functions of their number, so no table of half a billion buyers is ever held.
    """
    salt = (seed * 0x2545F4914F6CDD1D + zlib.crc32(name.encode()) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        x = index.astype(np.uint64) * _GOLDEN + np.uint64(salt)
        x = (x ^ (x >> np.uint64(30))) * _MIX_1
        x = (x ^ (x >> np.uint64(27))) * _MIX_2
        return x ^ (x >> np.uint64(31))


def hashed_below(index: np.ndarray, limit: int, seed: int, name: str) -> np.ndarray:
    """Return for every index a fixed whole number in 0 … limit-1."""
    return (hashed(index, seed, name) % np.uint64(limit)).astype(np.int64)


def hashed_uniform(index: np.ndarray, seed: int, name: str) -> np.ndarray:
    """Return for every index a fixed number in [0, 1)."""
    return (hashed(index, seed, name) >> np.uint64(11)).astype(np.float64) * (1.0 / (1 << 53))


def choose(rng: np.random.Generator, weights: np.ndarray, n: int) -> np.ndarray:
    """Draw n positions with the given weights (searchsorted on the cumulated weights: no n x k table)."""
    cumulated = np.cumsum(weights, dtype=np.float64)
    return np.searchsorted(cumulated, rng.random(n) * cumulated[-1], side="right").clip(0, len(weights) - 1)

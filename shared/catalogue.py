"""The titles that may be recommended, as arrays: ids, genres and popularity of every title that is not deleted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from shared.ids import IdArray, IdIndex, id_array
from shared.media import name_key

GenreMask: TypeAlias = NDArray[np.uint64]  # (w,): one bit per genre, 64 to a word

# More distinct names than these are dirt; the least used are left out, so memory stays bounded.
MOST_GENRES = 512
MOST_MEDIA_TYPES = 255
_WORD = 64


@dataclass(frozen=True)
class Popularity:
    """How much liked some titles are: sum over the users who like each of 2^(-age / half-life)."""

    titles: IdArray  # (k,), distinct
    weights: NDArray[np.float32]  # (k,), not negative

    @classmethod
    def unknown(cls) -> Popularity:
        """Nothing is known of any title."""
        return cls(id_array(b""), np.empty(0, dtype=np.float32))


@dataclass(frozen=True)
class Listed:
    """The titles that are not deleted, in any order."""

    ids: IdArray  # (n,)
    years: NDArray[np.int32]  # (n,), of release; 0 where it is not known
    media_types: NDArray[np.uint8]  # (n,), codes; 0 where it is not known
    media_type_codes: Mapping[str, int]  # media type key -> its code, from 1 on

    @classmethod
    def ids_only(cls, ids: IdArray) -> Listed:
        """Titles of which only the ids are known."""
        return cls(ids, np.zeros(len(ids), dtype=np.int32), np.zeros(len(ids), dtype=np.uint8), {})

    @classmethod
    def by_media_type(cls, blocks: Sequence[tuple[str | None, IdArray, NDArray[np.int32]]]) -> Listed:
        """Titles given by media type: its name as stored, ids and years of (k,) titles."""
        keys = [name_key(name) for name, _, _ in blocks]
        titles: Counter[str] = Counter()
        for key, (_, ids, _) in zip(keys, blocks, strict=True):
            if key:
                titles[key] += len(ids)
        names = sorted(titles, key=lambda key: (-titles[key], key))[:MOST_MEDIA_TYPES]
        codes = {name: code for code, name in enumerate(names, 1)}
        block_codes = np.array([codes.get(key or "", 0) for key in keys], dtype=np.uint8)
        return cls(
            ids=np.concatenate([np.empty(0, "S16"), *(ids for _, ids, _ in blocks)]),
            years=np.concatenate([np.empty(0, np.int32), *(years for _, _, years in blocks)]),
            media_types=np.repeat(block_codes, [len(ids) for _, ids, _ in blocks]),
            media_type_codes=codes,
        )


@dataclass(frozen=True)
class Catalogue:
    """n titles in order of popularity (ties by id): a title's index is its popularity rank, so ties in any score are
    broken by the smaller index."""

    index: IdIndex
    genres: NDArray[np.uint64]  # (n, w)
    genre_bits: Mapping[str, int]  # genre key -> bit
    popularity: NDArray[np.float32]  # (n,), falling
    years: NDArray[np.int32]  # (n,), of release; 0 where it is not known
    media_types: NDArray[np.uint8]  # (n,), codes; 0 where it is not known
    media_type_codes: Mapping[str, int]  # media type key -> its code

    @classmethod
    def build(cls, listed: Listed, genres: Mapping[str, IdArray], popularity: Popularity) -> Catalogue:
        """Order titles by popularity and pack their genres.

        listed: titles that are not deleted. genres: name as stored -> its titles, known or not. A title that is missing
        from `popularity` has none.
        """
        ids, first = np.unique(listed.ids, return_index=True)
        rated = IdIndex(popularity.titles).find(ids)
        weight = np.zeros(len(ids), dtype=np.float32)
        weight[rated >= 0] = popularity.weights[rated[rated >= 0]]
        order = np.argsort(-weight, kind="stable")
        index = IdIndex(ids[order])

        merged: dict[str, list[IdArray]] = {}
        for name, titles in genres.items():
            if key := name_key(name):
                merged.setdefault(key, []).append(titles)
        names = sorted(merged, key=lambda key: (-sum(map(len, merged[key])), key))[:MOST_GENRES]
        bits = {name: bit for bit, name in enumerate(names)}
        masks = np.zeros((len(ids), max(1, -(-len(names) // _WORD))), dtype=np.uint64)
        for name, bit in bits.items():
            found = index.find(np.concatenate(merged[name]))
            masks[found[found >= 0], bit // _WORD] |= np.uint64(1 << bit % _WORD)
        return cls(
            index=index,
            genres=masks,
            genre_bits=bits,
            popularity=weight[order],
            years=listed.years[first[order]],
            media_types=listed.media_types[first[order]],
            media_type_codes=listed.media_type_codes,
        )

    def __len__(self) -> int:
        return len(self.index)

    def mask(self, genres: Iterable[str]) -> GenreMask:
        """The genres (keys) that the catalogue knows, as one mask, shape (w,)."""
        bits = 0
        for genre in genres:
            if genre in self.genre_bits:
                bits |= 1 << self.genre_bits[genre]
        words = bits.to_bytes(self.genres.shape[1] * _WORD // 8, "little")
        return np.frombuffer(words, dtype="<u8")

    def genres_of(self, title: int) -> frozenset[str]:
        """The genres (keys) of one title, by its index."""
        mask = self.genres[title]
        return frozenset(name for name, bit in self.genre_bits.items() if int(mask[bit // _WORD]) >> bit % _WORD & 1)

    def matches(self, mask: GenreMask, titles: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """How many genres of the mask each of the titles (indices) has. Shape (k,), int64."""
        counts: NDArray[np.int64] = np.bitwise_count(self.genres[titles] & mask).sum(axis=1, dtype=np.int64)
        return counts

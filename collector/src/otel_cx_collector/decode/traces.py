"""ExportTraceServiceRequest, binary protobuf, to spans that may be steps. Not JSON (traces_json.py), not rows (tag).

Spans are found by hopping over lengths; only those that hold the text ``otelcx.journey.step``, or that a match rule may
map, are parsed. The rest costs a hop: parsing all would take a second of time and 80 bytes of memory for each byte of
the worst request, before anything could be counted.
"""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

from google.protobuf.message import DecodeError

from otel_cx import semconv
from otel_cx_collector.decode.errors import TooLarge
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.messages import EVENT, RESOURCE, SPAN
from otel_cx_collector.decode.nested import LEVEL_BYTES, Message, check
from otel_cx_collector.decode.span import (
    CONSUMER,
    EVENT_KEYS,
    SERVER,
    Found,
    Pairs,
    Resource,
    Scalar,
    Span,
    Wanted,
    unread,
)
from otel_cx_collector.decode.values import read_text, read_value, split_pair
from otel_cx_collector.decode.wire import LENGTH_DELIMITED, fields, malformed, skip, tag_of, truncated, varint

_STEP: Final = semconv.JOURNEY_STEP.encode()
_STEP_KEY: Final = bytes([tag_of(1), len(_STEP)]) + _STEP
_NOWHERE: Final = sys.maxsize

_RESOURCE_SPANS: Final = tag_of(1)
_RESOURCE: Final = tag_of(1)
_INNER: Final = tag_of(2)
"""The field that matters of ResourceSpans (its ScopeSpans) and of ScopeSpans (its Spans)."""
_KIND: Final = tag_of(6, 0)
_KEY: Final = tag_of(1)
_SHORT: Final = [bytes([tag_of(2), size + 2, tag_of(1), size]) for size in range(0x7E)]
"""How the value of a KeyValue begins that is a text of so many bytes."""
_SINGLE_FIELDS: Final = 16
"""Fields of a span that do not repeat."""
_NOBODY: Final = Resource()
_EVENT_NAMES: Final = {key.encode(): key for key in EVENT_KEYS}
_MATCHED_KINDS: Final = frozenset({SERVER, CONSUMER})
_BEFORE_KIND: Final = frozenset(map(tag_of, (1, 2, 3, 4, 5)))

_WORTH_A_LOOK: Final = 4_096
"""A span or resource of so many bytes is searched for values nested too deep even when nothing else is read of it."""
_WORTH_COUNTING: Final = 16_384
"""A message of more bytes has its attributes and events counted before it is built, which takes 40 times the memory."""
_PAIRS_KEPT: Final = 4_096
_PAIR_KEPT_BYTES: Final = 128
_RESOURCES_KEPT: Final = 1_024
_RESOURCE_KEPT_BYTES: Final = 16_384


def decode(body: bytes, wanted: Wanted, limits: DecodeLimits) -> Found:
    """All spans counted, those that may be steps read. Raises BadRequest or TooLarge, nothing else."""
    try:
        return _Request(body, wanted, limits).read()
    except IndexError:
        raise truncated() from None
    except DecodeError as error:
        raise malformed(str(error)) from None


class _Request:
    """One walk over one body."""

    __slots__ = (
        "blocks",
        "body",
        "candidates",
        "harmless",
        "hit",
        "kept",
        "limits",
        "looks",
        "short",
        "spans",
        "wanted",
        "work",
    )

    def __init__(self, body: bytes, wanted: Wanted, limits: DecodeLimits) -> None:
        self.body = body
        self.wanted = wanted
        self.limits = limits
        self.kept = wanted.kept(limits)
        self.harmless = limits.nesting * LEVEL_BYTES
        self.short = min(len(_SHORT) - 1, limits.value_chars)
        self.candidates: list[Span] = []
        self.spans = 0
        self.blocks = 0
        self.work = self.looks = limits.work
        self.hit = 0
        self._seek(0)

    def read(self) -> Found:
        for tag, start, stop in self._blocks(0, len(self.body), known=1):
            if tag == _RESOURCE_SPANS:
                self._resource_spans(start, stop)
        return Found(self.spans, self.candidates)

    def _seek(self, pos: int) -> int:
        """Find the next place after ``pos`` where the step attribute may stand."""
        found = self.body.find(_STEP, pos)
        self.hit = _NOWHERE if found < 0 else found
        return self.hit

    def _blocks(self, pos: int, end: int, known: int) -> Iterator[tuple[int, int, int]]:
        """Fields of a message around spans, counted against the limit; the first ``known`` are messages or strings."""
        for field in fields(self.body, pos, end):
            self.blocks += 1
            if self.blocks > self.limits.blocks:
                raise TooLarge(
                    f"request has more than {self.limits.blocks} ResourceSpans and ScopeSpans; send smaller batches"
                )
            if field[0] >> 3 <= known and field[0] & 7 != LENGTH_DELIMITED:
                raise malformed(f"field {field[0] >> 3} around the spans has wire type {field[0] & 7}")
            yield field

    def _resource_spans(self, pos: int, end: int) -> None:
        parts: list[bytes] = []
        scopes: list[tuple[int, int]] = []
        for tag, start, stop in self._blocks(pos, end, known=3):
            if tag == _RESOURCE:
                parts.append(self.body[start:stop])
            elif tag == _INNER:
                scopes.append((start, stop))
        resource = _NOBODY
        needles: tuple[bytes, ...] = ()
        if self.hit < end or self.wanted.matches_any:
            # A message given in parts is their concatenation: protobuf, "Last One Wins".
            resource = self._resource(parts[0] if len(parts) == 1 else b"".join(parts))
            needles = self.wanted.needles_for(resource.service)
        for start, stop in scopes:
            self._scope_spans(start, stop, resource, needles)

    def _resource(self, raw: bytes) -> Resource:
        """The resource in these bytes, from the cache when it was seen before."""
        kept = self.kept.resources
        resource = kept.get(raw)
        if resource is None:
            resource = self._read_resource(raw)
            if len(raw) <= _RESOURCE_KEPT_BYTES:
                if len(kept) >= _RESOURCES_KEPT:
                    kept.clear()
                kept[raw] = resource
        return resource

    def _read_resource(self, raw: bytes) -> Resource:
        limits = self.limits
        if len(raw) >= _WORTH_A_LOOK:
            self._look(raw, 0, len(raw), Message.RESOURCE)
        if self._overfull(raw, limits.attributes):
            return Resource(oversized=True)
        attributes = RESOURCE.FromString(raw).attributes
        if len(attributes) > limits.attributes:
            return Resource(oversized=True)
        return Resource.of(self._scalars(attributes, self.wanted.resource_names, {}), self.wanted.context_keys)

    def _scope_spans(self, pos: int, end: int, resource: Resource, needles: tuple[bytes, ...]) -> None:
        """Hop from span to span: 0.15 us each when nothing in it is wanted."""
        buf = self.body
        hit = self.hit
        spans = self.spans
        most = self.limits.spans
        while pos < end:
            tag = buf[pos]
            if tag != _INNER:
                pos = self._beside_spans(pos, end)
                continue
            size = buf[pos + 1]
            if size < 0x80:
                pos += 2
            elif (high := buf[pos + 2]) < 0x80:
                size += (high << 7) - 0x80
                pos += 3
            else:
                size, pos = varint(buf, pos + 1)
            stop = pos + size
            spans += 1
            if spans > most:
                raise TooLarge(f"request has more than {most} spans; send smaller batches")
            if hit < stop:
                self._read_span(buf[pos:stop], resource)
                hit = self._seek(stop)
            elif needles and self._may_match(pos, stop, needles):
                self._read_span(buf[pos:stop], resource)
            elif size >= _WORTH_A_LOOK:
                self._look(buf, pos, stop, Message.SPAN)
            pos = stop
        self.spans = spans
        if pos != end:  # the last span, or what a span read of it, lay beyond
            raise truncated()

    def _beside_spans(self, pos: int, end: int) -> int:
        """Offset after the one field at ``pos`` of a ScopeSpans that is no span."""
        after = skip(self.body, pos)
        next(self._blocks(pos, min(after, end), known=3))
        return after

    def _may_match(self, pos: int, end: int, needles: tuple[bytes, ...]) -> bool:
        """Whether a match rule may map this span: cheap, and never no when the answer is yes."""
        buf = self.body
        at = pos
        while at < end and buf[at] in _BEFORE_KIND and buf[at + 1] < 0x80:
            at += 2 + buf[at + 1]
        if at < end and buf[at] == _KIND and buf[at + 1] < 0x80 and buf[at + 1] not in _MATCHED_KINDS:
            return False
        find = buf.find
        for needle in needles:  # noqa: SIM110 - a generator would cost as much again
            if find(needle, pos, end) >= 0:
                return True
        return False

    def _read_span(self, raw: bytes, resource: Resource) -> None:
        """Read one span and add it to the candidates."""
        limits = self.limits
        if len(raw) >= _WORTH_A_LOOK:
            self._look(raw, 0, len(raw), Message.SPAN)
        if self._overfull(raw, limits.fields):
            self.candidates.append(unread(resource, carries_step=raw.find(_STEP_KEY) >= 0))
            return
        span = SPAN.FromString(raw)
        pairs, events = span.attributes, span.events
        count = len(pairs) + len(events) + len(span.links)
        self._charge(count)
        if count > limits.fields:
            self.candidates.append(unread(resource, carries_step=any(split_pair(pair)[0] == _STEP for pair in pairs)))
            return
        state = span.trace_state
        self.candidates.append(
            Span(
                resource,
                span.trace_id,
                span.span_id,
                read_text(state, limits.value_chars) if state else "",
                span.kind,
                span.start_time_unix_nano,
                span.end_time_unix_nano,
                span.status.code,
                resource.context | self._scalars(pairs, self.wanted.span_names, self.kept.pairs),
                tuple(self._events(events)) if events else (),
                resource.oversized or len(pairs) > limits.attributes,
            )
        )

    def _scalars(self, pairs: Iterable[bytes], names: dict[bytes, str], kept: Pairs) -> dict[str, Scalar]:
        """Of these KeyValues the ones with these names that are not empty; those in ``kept`` were read before."""
        read: dict[str, Scalar] = {}
        for pair in pairs:
            known = kept.get(pair)
            if known is not None:
                read[known[0]] = known[1]
            # The layout every encoder writes is a short key, then the value; split_pair takes any other.
            elif len(pair) > 2 and pair[0] == _KEY and pair[1] < 0x80:
                value_at = pair[1] + 2
                name = names.get(pair[2:value_at])
                if name is not None:
                    self._scalar(name, pair, value_at, read, kept)
                elif len(pair) > self.harmless:
                    self._look(pair, 0, len(pair), Message.KEY_VALUE)
            else:
                name = names.get(split_pair(pair)[0])
                if name is not None:
                    self._scalar(name, pair, 0, read, kept)
                else:
                    self._look(pair, 0, len(pair), Message.KEY_VALUE)
        return read

    def _scalar(self, name: str, pair: bytes, value_at: int, read: dict[str, Scalar], kept: Pairs) -> None:
        """Read the value of one KeyValue, and keep it for the next one when its attribute has few values."""
        scalar: Scalar | None
        size = len(pair) - value_at - 4
        if 0 < size <= self.short and pair[value_at : value_at + 4] == _SHORT[size]:
            try:
                scalar = pair[value_at + 4 :].decode()
            except UnicodeDecodeError:
                scalar = read_text(pair[value_at + 4 :], self.limits.value_chars)
        else:
            if len(pair) > self.harmless:
                self._look(pair, 0, len(pair), Message.KEY_VALUE)
            scalar = read_value(split_pair(pair)[1], self.limits.value_chars)
            if scalar is None:
                return
        read[name] = scalar
        if name not in self.wanted.unique_keys and size < _PAIR_KEPT_BYTES:
            if len(kept) >= _PAIRS_KEPT:
                kept.clear()
            kept[pair] = name, scalar

    def _events(self, events: Iterable[bytes]) -> Iterator[dict[str, Scalar]]:
        """Of each event the attributes in EVENT_KEYS, if it has any."""
        for raw in events:
            if self._overfull(raw, self.limits.fields):
                continue
            pairs = EVENT.FromString(raw).attributes
            self._charge(len(pairs))
            read = self._scalars(pairs, _EVENT_NAMES, {})
            if read:
                yield read

    def _overfull(self, raw: bytes, most: int) -> bool:
        """Whether a large message has more than ``most`` repeated fields: counted before it is built."""
        if len(raw) <= _WORTH_COUNTING:
            return False
        count = sum(1 for _ in islice(fields(raw, 0, len(raw)), most + _SINGLE_FIELDS + 1))
        self._charge(count)
        return count > most + _SINGLE_FIELDS

    def _look(self, buf: bytes, pos: int, end: int, message: Message) -> None:
        """Search for values nested too deep, while time lasts: none is ever built, so that missing one is harmless."""
        if self.looks > 0:
            self.looks -= check(buf, pos, end, message, self.limits.nesting, min(self.limits.fields, self.looks))

    def _charge(self, fields_read: int) -> None:
        self.work -= fields_read
        if self.work < 0:
            raise TooLarge(f"the steps of this request have more than {self.limits.work} fields; send smaller batches")

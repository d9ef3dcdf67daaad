"""The spans of a replica: one for each traced image or anomaly that it was asked about."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from serving.ray.wire import AskedImage
from streams.events import Classification, Inspection
from streams.ports import ClassificationRequest, Failure
from streams.tracing.context import read_traceparent
from streams.tracing.spans import CURRENT, Attribute, Span, SpanKind, SpanSink, Work

OpenSpans = Callable[[], SpanSink | None]


def no_spans() -> SpanSink | None:
    """Nothing is traced."""
    return None


def spans_of_call(
    asked: Sequence[AskedImage], answers: Sequence[Inspection | Failure], began_s: float
) -> list[Span]:
    """The spans of one call to the vision expert, for the images that are traced.

    Args:
        asked: what each item asks.
        answers: one for each.
        began_s: when the call came, seconds since the epoch.
    """
    found, ended_s = [], max(time.time(), began_s)
    for item, answer in zip(asked, answers, strict=True):
        parent = read_traceparent(item.trace)
        if parent is None or not parent.is_sampled:
            continue
        said: dict[str, Attribute] = {"andon.product": item.product}
        error = ""
        if isinstance(answer, Failure):
            error, said["andon.reason"] = answer.error_type, answer.reason_code.name
        else:
            said["andon.expert_version"] = answer.expert_version
            said |= {f"andon.{name}_ms": ms for name, ms in answer.timings_ms.items()}
        context, kind = parent.child(), SpanKind.SERVER
        found.append(Span(context, parent.span_id, "score", began_s, ended_s, kind, said, error))
    return found


@contextmanager
def named_work(
    request: ClassificationRequest, sink: SpanSink
) -> Iterator[Callable[[Classification | Failure], None]]:
    """The span of one anomaly that is being named; what it is given at the end is its answer."""
    parent = read_traceparent(request.trace)
    if parent is None or not parent.is_sampled:
        yield lambda _: None
        return
    work = Work(parent, "name", sink, kind=SpanKind.SERVER)
    work.attributes["andon.product"] = request.texts.product_id
    token = CURRENT.set(work)

    def said(answer: Classification | Failure) -> None:
        if isinstance(answer, Failure):
            work.error = answer.error_type
            work.attributes["andon.reason"] = answer.reason_code.name
            return
        work.attributes |= {
            "andon.classifier": answer.classifier,
            "andon.class": answer.class_name,
            "andon.confidence": answer.confidence,
        }
        if answer.tokens_in:
            work.attributes |= {
                "gen_ai.response.model": answer.model,
                "gen_ai.usage.input_tokens": answer.tokens_in,
                "gen_ai.usage.output_tokens": answer.tokens_out,
            }

    try:
        yield said
    finally:
        CURRENT.reset(token)
        work.end()

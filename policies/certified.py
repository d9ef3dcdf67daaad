"""Whether an answer may let a part pass by itself under a policy's certificate: pure."""

from collections.abc import Mapping
from typing import Final

from policies.model import Body, PolicyDocument, body_of, content_hash
from streams.events import Classification, Inspection

WITHOUT_INFLUENCE: Final = frozenset(
    {
        "auto_pass",
        "certificate",
        "audit_share",
        "golden",
        "limits",
        "prices",
        "second_review",
        "shots",
        "silence",
        "takt_s",
    }
    | {"title"}
)
"""Keys of a policy that change nothing about which odd frames pass under which class."""
OF_AN_ANSWER: Final = ("classifier", "model", "prompt_hash", "exemplars_version")
"""What a certificate says of the answers that were reviewed."""


def deciding_hash(document: PolicyDocument) -> str:
    """The hash of what a policy decides by, texts for the classifier included."""
    body: Body = body_of(document)
    return content_hash({k: v for k, v in body.items() if k not in WITHOUT_INFLUENCE})


class AutoPass:
    """What a policy asks of a part that would pass by its class.

    Args:
        document: the policy.
    """

    def __init__(self, document: PolicyDocument) -> None:
        self._certificate = document.certificate
        self.is_asked = document.asks_certificate
        self._stale = (
            document.certificate is not None
            and document.certificate.decides != deciding_hash(document)
        )

    def lacks_for(self, class_name: str) -> str:
        """Why no answer of the class may pass by itself; '' where some may."""
        certificate = self._certificate
        if certificate is None:
            return "the policy has no certificate"
        if self._stale:
            return f"the policy changed after its certificate of {certificate.issued}"
        if class_name not in certificate.classes:
            return f"it is not among the classes of the certificate of {certificate.issued}"
        return ""

    def lacks(self, answer: Classification, inspection: Inspection | None) -> str:
        """Why an answer on a frame may not let the part pass by itself; '' where it may."""
        versions = {name: str(getattr(answer, name)) for name in OF_AN_ANSWER}
        found = {"expert_version": inspection.expert_version if inspection else "", **versions}
        return (
            self.lacks_for(answer.class_name) or self._lacks_version(found) or self.unsure(answer)
        )

    def unsure(self, answer: Classification) -> str:
        """Why an answer of whichever versions may not pass; '' where it may."""
        certificate = self._certificate
        missing = self.lacks_for(answer.class_name)
        if missing or certificate is None:
            return missing
        least = certificate.classes[answer.class_name].from_confidence
        if answer.confidence < least:
            return f"it is certified from a confidence of {least:.3f} on"
        return ""

    def words(self, class_name: str) -> str:
        """The certificate of a class for people."""
        certificate = self._certificate
        if certificate is None or class_name not in certificate.classes:
            return ""
        entry = certificate.classes[class_name]
        what = {"each": "of what passes so is a defect", "together": "of the defects pass so"}
        return (
            f"Certified {certificate.issued} at {certificate.confidence:.0%} confidence: at most "
            f"{certificate.escape:.1%} {what[certificate.of]} ({entry.reviews} reviews)."
        )

    def _lacks_version(self, found: Mapping[str, str]) -> str:
        for name, value in found.items():
            asked = str(getattr(self._certificate, name))
            if asked != value:
                words = name.replace("_", " ")
                return f"its certificate is for another {words} ({asked[:12] or 'none'})"
        return ""

"""The policy of a data set that comes without one."""

from collections.abc import Iterable

from pydantic import ValidationError

from policies.errors import PolicyError
from policies.model import PolicyDocument, body_of
from streams.codes import Action, Severity


def hold_all_classes(product_id: str, class_names: Iterable[str]) -> dict[str, object]:
    """Body of a policy in which every class is a defect and held; the fallbacks hold too.

    Raises:
        PolicyError: a name cannot be a product id or a class name.
    """
    held = {"severity": Severity.DEFECT.value, "action": Action.HOLD.value}
    classes = {name: {**held, "display_name": name.replace("_", " ")} for name in class_names}
    try:
        document = PolicyDocument.model_validate({"product": product_id, "classes": classes})
    except ValidationError as error:
        names = sorted({str(e["input"])[:64] for e in error.errors(include_url=False)})
        raise PolicyError(
            f"{', '.join(map(repr, names))} cannot be a product or class name: rename the folder; "
            "allowed are letters, digits, blanks and _ . ( ) + -, at most 64 characters "
            "(a product id has no blanks)"
        ) from None
    if reserved := sorted({"normal", "unknown"} & set(document.classes)):
        raise PolicyError(
            f"{', '.join(reserved)} cannot be a class, it is an answer itself: rename the folder"
        )
    return body_of(document)

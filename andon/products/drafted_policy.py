"""The policy of a draft: drafted from its classes or written by a person, and checked."""

from andon.products.workspace import Workspace
from console.product_drafts import CheckedPolicy, ProductDraft
from policies.authoring.drafting import ClassMeaning, draft_policy
from policies.authoring.prompt_check import check_with_prompt
from serving.bundles import digest_of


def policy_text(workspace: Workspace, draft: ProductDraft) -> str:
    """The draft's policy: as somebody wrote it, else drafted from the classes as they are now."""
    if draft.checked is not None and draft.checked.edited and workspace.policy_file.is_file():
        return workspace.policy_file.read_text("utf-8")
    meanings = {
        name: ClassMeaning(meant.severity, meant.action, meant.description)
        for name, meant in draft.classes.items()
    }
    return draft_policy(draft.product, meanings)


def check_policy(workspace: Workspace, text: str | None = None) -> ProductDraft:
    """Draft the policy, or take a text for it, and let the validator say what it thinks.

    Args:
        text: written by a person; None keeps what was written, and an empty one drafts anew.

    Raises:
        DraftError: too long a text.
    """
    draft = workspace.read()
    if text is not None:
        edited = bool(text.strip())
        body = text.replace("\r\n", "\n") if edited else ""
        stated = CheckedPolicy(text_hash="", edited=edited)
        draft = draft.model_copy(update={"checked": stated})
        workspace.policy_file.write_text(body, "utf-8")
    else:
        edited = draft.checked is not None and draft.checked.edited
    workspace.policy_file.write_text(policy_text(workspace, draft), "utf-8")
    report = check_with_prompt(workspace.policy_file)
    errors = [_shown(problem.line, str(problem.reason), problem.fix) for problem in report.errors]
    if report.policy is not None and report.policy.product_id != draft.product:
        errors.append(f"product is {report.policy.product_id!r} there, and {draft.product!r} here")
    checked = CheckedPolicy(
        text_hash=digest_of(workspace.policy_file.read_bytes()),
        policy_hash=report.policy.policy_hash if report.policy and not errors else "",
        errors=tuple(errors),
        warnings=tuple(_shown(p.line, p.reason, p.fix) for p in report.warnings),
        edited=edited,
    )
    return workspace.change(lambda d: d.model_copy(update={"checked": checked}))


def _shown(line: int, reason: str, fix: str) -> str:
    where = f"line {line}: " if line else ""
    return f"{where}{reason}" + (f"; {fix}" if fix else "")

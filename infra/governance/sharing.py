"""Requests to share data with another authority: who asks for what, who decides, by when.

The order of steps, the deadlines and the three sharing types follow the measures for sharing government information
(apply, formal check in 2 working days, answer in 10, delivery in 20). What may leave in which form is derived from
contract and policy:

* the policy's column for the role ``recipient`` needs no row-level decision: public columns, and aggregates of at least
  k records;
* an approval lifts rows to internal columns in clear, restricted ones bucketed, personal ones as a pseudonym under a
  key made for this share alone, in cohorts of at least k;
* what is of sharing type ``none`` never leaves as it is: only as such a pseudonym or inside an aggregate, and two
  persons approve that.

Requests are stored as an append-only file of steps (``<home>/shares/requests.jsonl``); every step is an audit event
too, which carries the stored line's hash.
"""

import dataclasses
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from data_contracts import load_contract
from data_contracts.emit.masks import column_expression
from data_contracts.errors import ContractError
from data_contracts.model import Contract, Field
from data_contracts.policy import Policy, load_policy
from infra.governance.accounts import Account, NotAllowedError
from infra.governance.workdays import add_working_days
from infra.runtime import audit
from infra.runtime.errors import BadArgumentsError, TryAgainError
from infra.runtime.settings import Settings

SHARE_REQUEST = "governance.share_request"
KINDS = ("rows", "aggregate")
FORMATS = ("parquet", "csv", "delta")
MEASURES = ("sum", "avg", "distinct")
LONGEST_DAYS = 366
STATES = ("draft", "submitted", "checked", "approved", "refused", "delivered", "expired", "revoked")
NEXT = {
    "draft": ("submitted", "revoked"),
    "submitted": ("checked", "refused", "revoked"),
    "checked": ("approved", "refused", "revoked"),
    "approved": ("delivered", "revoked"),
    "delivered": ("expired", "revoked"),
    "refused": (),
    "expired": (),
    "revoked": (),
}
# state -> what is due, counted from which step, working days
DUE = {
    "submitted": ("check", "submitted", 2),
    "checked": ("decision", "submitted", 10),
    "approved": ("delivery", "approved", 20),
}
_STRICTNESS = ("unconditional", "conditional", "none")
# the recipient's row of the policy once a request for rows was approved
_LIFTED = {"L1": "clear", "L2": "clear", "L3": "bucketed", "personal": "pseudonym", "L4": "pseudonym"}


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    ``columns`` leave as rows, or group the cells of an aggregate; ``measures`` (aggregates only) are ``sum:<column>``,
    ``avg:<column>`` or ``distinct:<column>``; the number of records of a cell always comes with it.
    """

    contract: str
    recipient: str
    purpose: str
    legal_basis: str
    kind: str
    columns: tuple[str, ...]
    measures: tuple[str, ...] = ()
    first_day: date | None = None
    last_day: date | None = None
    formats: tuple[str, ...] = ("parquet",)
    valid_days: int = 90


@dataclass(frozen=True)
class Step:
    """One stored step of a request."""

    at: datetime
    step: str
    actor: str
    detail: Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """A request and everything that happened to it."""

    id: str
    wish: Wish
    requester: str
    state: str
    steps: tuple[Step, ...]

    def when(self, step: str) -> datetime | None:
        """Return the instant of a step, None when it did not happen."""
        return next((one.at for one in self.steps if one.step == step), None)

    @property
    def approvals(self) -> tuple[tuple[str, str], ...]:
        """Who approved, with the role they approved in."""
        return tuple((s.actor, s.detail["role"]) for s in self.steps if s.step == "approval")

    def due(self, zone: str) -> tuple[str, date] | None:
        """Return what is due next and its last working day, None when nothing is."""
        if self.state not in DUE:
            return None
        what, since, number = DUE[self.state]
        start = self.when(since)
        return None if start is None else (what, add_working_days(start.astimezone(ZoneInfo(zone)).date(), number))

    @property
    def expires_at(self) -> datetime | None:
        """The instant the delivered files are removed."""
        delivered = self.when("delivered")
        return None if delivered is None else delivered + timedelta(days=self.wish.valid_days)


@dataclass(frozen=True)
class OutColumn:
    """A column as it leaves: its form, and the SQL over the silver table (before the share's own key is applied)."""

    name: str
    form: str
    sql: str
    field: Field


@dataclass(frozen=True)
class Assessment:
    """What contract and policy say about a wish: ``problems`` must be empty for an approval."""

    sharing_type: str
    grade: str
    approvers: tuple[str, ...]
    columns: tuple[OutColumn, ...]
    measures: tuple[tuple[str, str, Field], ...]
    cohort: int
    problems: tuple[str, ...] = field(default=())


def lifted(policy: Policy) -> Policy:
    """Return the policy as an approved row-level share applies it to its recipient."""
    forms = {kind: {**row, "recipient": _LIFTED[kind]} for kind, row in policy.forms.items()}
    return dataclasses.replace(policy, forms=forms)


def period_column(contract: Contract) -> str | None:
    """Return the column a period is judged on: the day the table is partitioned by, else its event time."""
    days = [name for name in contract.partition_by if contract.field(name).physical_type == "DATE"]
    return days[0] if days else contract.event_time or None


def assess(wish: Wish, policy: Policy | None = None, contract: Contract | None = None) -> Assessment:
    """Judge a wish by contract and policy.

    Args:
        wish: what is asked for.
        policy: the access policy; default the platform's.
        contract: the table's contract; default the platform's.

    Raises:
        BadArgumentsError: it cannot be understood: no such table, column, measure, kind or format.
    """
    policy = policy or load_policy()
    contract = contract or load_contract(wish.contract)
    _check_words(wish, contract)
    measures = [(how, name, contract.field(name)) for how, name in map(_split, wish.measures)]
    used = [contract.field(name) for name in wish.columns] + [one for _, _, one in measures]
    problems: list[str] = []
    columns = [_out_column(f, wish.kind, policy, problems) for f in map(contract.field, wish.columns)]
    for how, name, one in measures:
        kind = _kind(one)
        if how != "distinct" and (kind in ("personal", "L4") or not _is_number(one)):
            problems.append(
                f"{how}:{name} is not possible: {name} is {kind} {one.physical_type}; ask for numbers only."
            )
    if wish.first_day and wish.last_day and wish.first_day > wish.last_day:
        problems.append(f"The period ends ({wish.last_day}) before it begins ({wish.first_day}).")
    if (wish.first_day or wish.last_day) and period_column(contract) is None:
        problems.append(f"{contract.id} has no day to cut a period by; ask without one.")
    grade = max((f.grade for f in used), default="L1")
    # public columns of a table that is not public as a whole are a decision too: together they describe its rows
    floor = "unconditional" if contract.sharing_type == "unconditional" else "conditional"
    strictest = max((floor, *(f.sharing_type for f in used)), key=_STRICTNESS.index)
    personal = any(_kind(f) in ("personal", "L4") for f in used)
    guarded = wish.kind == "rows" and contract.sharing_type == "none"
    if personal or guarded or strictest == "none":
        approvers = _chain(contract)
    else:
        approvers = () if strictest == "unconditional" else _chain(contract)[:1]
    needs_cohort = wish.kind == "aggregate" or personal or guarded or grade >= "L3"
    return Assessment(
        sharing_type=strictest,
        grade=grade,
        approvers=approvers,
        columns=tuple(one for one in columns if one),
        measures=tuple(measures),
        cohort=policy.k if needs_cohort else 0,
        problems=tuple(problems),
    )


def _check_words(wish: Wish, contract: Contract) -> None:
    names = {f.name for f in contract.columns}
    wanted = [*wish.columns, *(name for _, name in map(_split, wish.measures))]
    if unknown := [name for name in wanted if name not in names]:
        raise BadArgumentsError(
            f"{contract.id} has no column {', '.join(unknown)}: see `customs contracts dictionary`."
        )
    if len(set(wish.columns)) != len(wish.columns) or not wish.columns:
        raise BadArgumentsError("Name every column once, and at least one: only what the purpose needs is shared.")
    for word, allowed in ((wish.kind, KINDS), *((one, FORMATS) for one in wish.formats)):
        if word not in allowed:
            raise BadArgumentsError(f"'{word}' is not known: choose {', '.join(allowed)}.")
    if wish.measures and wish.kind == "rows":
        raise BadArgumentsError("Measures belong to an aggregate: leave them out, or ask for --kind aggregate.")
    if not wish.formats or len(set(wish.formats)) != len(wish.formats):
        raise BadArgumentsError("Name every format once, and at least one.")
    for what, text in (("recipient", wish.recipient), ("purpose", wish.purpose), ("legal basis", wish.legal_basis)):
        if not text.strip():
            raise BadArgumentsError(f"The {what} is missing: the approvers decide by it.")
    if not 1 <= wish.valid_days <= LONGEST_DAYS:
        raise BadArgumentsError(f"A share for {wish.valid_days} days is not possible: choose 1 to {LONGEST_DAYS}.")
    if contract.id == "governance.quarantine":
        raise BadArgumentsError("Quarantined rows are not shared: they hold original messages.")


def _split(measure: str) -> tuple[str, str]:
    how, _, name = measure.partition(":")
    if how not in MEASURES or not name:
        raise BadArgumentsError(
            f"Measure '{measure}' is not known: write {', '.join(f'{m}:<column>' for m in MEASURES)}."
        )
    return how, name


def _kind(f: Field) -> str:
    if f.grade == "L4" or f.personal_information not in ("none", "general"):
        return "L4"
    return "personal" if f.personal_information == "general" else f.grade


def _is_number(f: Field) -> bool:
    return f.logical_type in ("integer", "number")


def _chain(contract: Contract) -> tuple[str, ...]:
    """Return first and second level approvers: the longest chain the contract names, and never less than two roles."""
    chain = max((approvers for _, approvers in contract.roles), key=len, default=())
    return chain if len(chain) == 2 else ("data-steward", "security-officer")


def _out_column(f: Field, kind: str, policy: Policy, problems: list[str]) -> OutColumn | None:
    own = _kind(f)
    if kind == "aggregate" and own in ("personal", "L4"):
        problems.append(f"{f.name} is {own} information and cannot group an aggregate: ask for distinct:{f.name}.")
        return None
    sql = column_expression(f, "recipient", lifted(policy))
    if sql is None:
        problems.append(
            f"{f.name} ({own}, sharing type {f.sharing_type}) has no form it may leave in: leave it out"
            + (" or ask for an aggregate." if kind == "rows" else ".")
        )
        return None
    return OutColumn(f.name, _LIFTED[own], sql, f)


# --- steps ------------------------------------------------------------------------------------------------------------


def shares_folder(settings: Settings) -> Path:
    """Return the folder of the requests and of what was delivered, one folder per share."""
    return settings.home / "shares"


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the lock of the requests: one step at a time."""
    folder = shares_folder(settings)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    with os.fdopen(os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def requests(settings: Settings) -> list[Request]:
    """Return every request, oldest first."""
    path = shares_folder(settings) / "requests.jsonl"
    found: dict[str, Request] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        raw = json.loads(line)
        step = Step(datetime.fromisoformat(raw["at"]), raw["step"], raw["actor"], raw["detail"])
        if raw["step"] == "draft":
            found[raw["request_id"]] = Request(raw["request_id"], _wish(raw["detail"]), raw["actor"], "draft", (step,))
            continue
        request = found[raw["request_id"]]
        state = raw["step"] if raw["step"] in STATES else request.state
        found[request.id] = dataclasses.replace(request, state=state, steps=(*request.steps, step))
    return list(found.values())


def request_named(settings: Settings, request_id: str) -> Request:
    """Return one request.

    Raises:
        BadArgumentsError: there is none of that number.
    """
    for request in requests(settings):
        if request.id == request_id:
            return request
    raise BadArgumentsError(f"There is no request {request_id}: `customs share list --all` shows them.")


def _wish(raw: Mapping[str, Any]) -> Wish:
    values: dict[str, Any] = {k: tuple(one) if isinstance(one, list) else one for k, one in raw.items()}
    for key in ("first_day", "last_day"):
        values[key] = date.fromisoformat(values[key]) if values[key] else None
    return Wish(**values)


def store_step(settings: Settings, request_id: str, step: str, actor: str, detail: Mapping[str, Any]) -> None:
    """Append a step and its audit event; the caller holds the lock."""
    record = {
        "request_id": request_id,
        "at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "step": step,
        "actor": actor,
        "detail": dict(detail),
    }
    line = json.dumps(record, sort_keys=True, ensure_ascii=False, default=str) + "\n"
    # the event comes first: a step without its event cannot exist, an event whose step failed is merely curious
    shown = {key: value for key, value in detail.items() if key not in ("purpose", "legal_basis")}
    shown = json.loads(json.dumps(shown, default=str)) | {"record_sha256": hashlib.sha256(line.encode()).hexdigest()}
    audit.record(f"share.{step}", actor, request_id, shown, settings=settings)
    path = shares_folder(settings) / "requests.jsonl"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def must_follow(request: Request, state: str) -> None:
    """Refuse a step that does not follow the request's state."""
    if state not in NEXT[request.state]:
        possible = ", ".join(NEXT[request.state]) or "nothing"
        raise BadArgumentsError(
            f"Request {request.id} is {request.state}: it cannot become {state} (next: {possible})."
        )


def ask(settings: Settings, wish: Wish, account: Account, *, submit: bool = True) -> Request:
    """Make a request, and submit it unless it stays a draft.

    Raises:
        BadArgumentsError: the wish cannot be understood.
    """
    assess(wish)
    with locked(settings):
        day = datetime.now(ZoneInfo(settings.office_time_zone)).strftime("%Y%m%d")
        number = 1 + sum(1 for one in requests(settings) if one.id.startswith(f"SR-{day}-"))
        request_id = f"SR-{day}-{number:03d}"
        store_step(settings, request_id, "draft", account.name, dataclasses.asdict(wish))
        if submit:
            store_step(settings, request_id, "submitted", account.name, {})
    return published(settings, request_id)


def submit(settings: Settings, request_id: str, account: Account) -> Request:
    """Submit a draft of one's own."""
    with locked(settings):
        request = request_named(settings, request_id)
        must_follow(request, "submitted")
        if account.name != request.requester:
            raise NotAllowedError(f"{request_id} is a draft of {request.requester}: only they submit it.")
        store_step(settings, request_id, "submitted", account.name, {})
    return published(settings, request_id)


def must_be_another(request: Request, account: Account, what: str) -> None:
    """Refuse a step on one's own request."""
    if account.name == request.requester:
        raise NotAllowedError(f"{account.name} made request {request.id}: another account must {what} it.")


def check(settings: Settings, request_id: str, account: Account) -> tuple[Request, Assessment]:
    """Check the form of a request (a data steward); what is wholly unconditional is granted with it."""
    with locked(settings):
        request = request_named(settings, request_id)
        must_follow(request, "checked")
        must_be(account, ("data-steward",), "check a request")
        must_be_another(request, account, "check")
        found = assess(request.wish)
        figures = {
            "sharing_type": found.sharing_type,
            "grade": found.grade,
            "approvers": list(found.approvers),
            "problems": list(found.problems),
        }
        store_step(settings, request_id, "checked", account.name, figures)
        if not found.approvers and not found.problems:
            store_step(settings, request_id, "approved", account.name, {"ground": "unconditional sharing"})
    return published(settings, request_id), found


def approve(settings: Settings, request_id: str, account: Account) -> Request:
    """Approve a checked request in the account's role; the last approval needed makes it approved.

    Raises:
        NotAllowedError: the requester, a person who approved already, or a role the contract does not name.
        BadArgumentsError: contract and policy forbid it: sharing type none in a form that is not declassified.
    """
    with locked(settings):
        request = request_named(settings, request_id)
        must_follow(request, "approved")
        must_be_another(request, account, "approve")
        found = assess(request.wish)
        if found.problems:
            raise BadArgumentsError(
                f"Request {request_id} cannot be approved: {found.problems[0]} Refuse it, so that it is asked anew."
            )
        given = request.approvals
        if account.name in {name for name, _ in given}:
            raise NotAllowedError(f"{account.name} approved {request_id} already: a second person must.")
        missing = [role for role in found.approvers if role not in {role for _, role in given}]
        if account.role not in missing:
            raise NotAllowedError(
                f"{account.name} is {account.role}; request {request_id} still needs {' and '.join(missing)}."
            )
        store_step(settings, request_id, "approval", account.name, {"role": account.role})
        if missing == [account.role]:
            names = [name for name, _ in given] + [account.name]
            store_step(settings, request_id, "approved", account.name, {"approvers": names})
    return published(settings, request_id)


def refuse(settings: Settings, request_id: str, account: Account, reason: str) -> Request:
    """Refuse a request, with the reason the measures ask for."""
    with locked(settings):
        request = request_named(settings, request_id)
        must_follow(request, "refused")
        must_be(account, ("data-steward", "security-officer"), "refuse a request")
        must_be_another(request, account, "refuse")
        if not reason.strip():
            raise BadArgumentsError(f"Refusing {request_id} needs a reason: the requester has a right to it.")
        store_step(settings, request_id, "refused", account.name, {"reason": reason.strip()})
    return published(settings, request_id)


def must_be(account: Account, roles: Sequence[str], what: str) -> None:
    """Refuse a step to accounts of other roles."""
    if account.role not in roles:
        raise NotAllowedError(f"{account.name} is {account.role}; only {' or '.join(roles)} may {what}.")


def published(settings: Settings, request_id: str) -> Request:
    """Show the steward the request as it now stands, and return it."""
    publish_requests(settings)
    return request_named(settings, request_id)


def publish_requests(settings: Settings) -> None:
    """Write the requests as they stand to ``governance.share_request`` for the steward's page.

    A table busy elsewhere is left for the next step: the stored steps are the truth.
    """
    import pyarrow as pa

    from data_contracts.emit.delta import arrow_schema
    from infra.lake.commit import write_table

    rows = []
    for request in requests(settings):
        try:
            rows.append(_row(settings, request))
        except (BadArgumentsError, ContractError):
            # its column or table left the contracts since: the row of its last step stays
            continue
    if not rows:
        return
    schema = arrow_schema(load_contract(SHARE_REQUEST)).remove_metadata()
    try:
        write_table(SHARE_REQUEST, pa.Table.from_pylist(rows, schema=schema), mode="merge", settings=settings, wait=5)
    except TryAgainError:
        return


def _row(settings: Settings, request: Request) -> dict[str, Any]:
    found = assess(request.wish)
    due = request.due(settings.office_time_zone)
    delivered: Mapping[str, Any] = next((s.detail for s in request.steps if s.step == "delivered"), {})
    return {
        "request_id": request.id,
        "contract_id": request.wish.contract,
        "recipient": request.wish.recipient,
        "share_kind": request.wish.kind,
        "share_state": request.state,
        "sharing_type": found.sharing_type,
        "highest_grade": found.grade,
        "approvals_needed": len(found.approvers),
        "approvals_given": len(request.approvals),
        "submitted_at": request.when("submitted"),
        "due_step": due[0] if due else None,
        "due_on": due[1] if due else None,
        "expires_at": request.expires_at,
        "rows_shared": delivered.get("rows"),
        "rows_suppressed": delivered.get("suppressed"),
        "updated_at": request.steps[-1].at,
    }

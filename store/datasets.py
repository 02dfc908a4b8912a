"""Datasets: named, versioned files of a project. A version never changes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, load_only

from core.errors import Conflict, Invalid, NotFound, Problem
from core.ids import new_id
from core.states import TERMINAL
from store.clock import now
from store.pages import Page, page as pages
from store.tables import Dataset, DatasetFile, DatasetVersion, Job

NAME = re.compile(r"(?!dsv?_)[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)


@dataclass(frozen=True)
class FileRef:
    """A stored file and the name it has in a dataset."""

    name: str
    sha256: str
    bytes: int


def create(session: Session, *, project_id: str, name: str, description: str = "") -> Dataset:
    """A dataset without versions. Raises Invalid for a bad name, Conflict for one that is taken."""
    _check_name(name)
    dataset = Dataset(
        id=new_id("ds"), project_id=project_id, name=name, description=description, latest=0
    )
    try:
        with session.begin_nested():
            session.add(dataset)
    except IntegrityError:
        if not session.scalars(_live(project_id).where(Dataset.name == name)).first():
            raise
        raise Conflict(
            f"there is a dataset named {name} already: add a version to it, or choose another name"
        ) from None
    return dataset


def add_version(
    session: Session,
    dataset: Dataset,
    *,
    files: Iterable[FileRef],
    format: str,
    options: dict[str, Any],
    rows: int,
    schema: list[dict[str, Any]],
    profile: dict[str, Any],
) -> DatasetVersion:
    """The next version of the dataset; NotFound where the dataset was deleted meanwhile."""
    number = session.scalar(
        update(Dataset)
        .where(Dataset.id == dataset.id, Dataset.deleted_at.is_(None))
        .values(latest=Dataset.latest + 1)
        .returning(Dataset.latest),
        execution_options={"synchronize_session": False},
    )
    if number is None:
        raise NotFound("dataset", dataset.id)
    version = DatasetVersion(
        id=new_id("dsv"),
        dataset_id=dataset.id,
        number=number,
        format=format,
        options=options,
        rows=rows,
        schema=schema,
        profile=profile,
    )
    session.add(version)
    session.flush()
    session.add_all(
        DatasetFile(version_id=version.id, position=position, **vars(file))
        for position, file in enumerate(files)
    )
    session.flush()
    session.refresh(dataset)
    return version


def get(session: Session, project_id: str, ref: str) -> Dataset:
    """The project's dataset of this id or name."""
    column = Dataset.id if ref.startswith("ds_") else Dataset.name
    dataset = session.scalars(_live(project_id).where(column == ref)).one_or_none()
    if dataset is None:
        raise NotFound("dataset", ref)
    return dataset


def version(session: Session, project_id: str, ref: str) -> DatasetVersion:
    """What a spec names: `name` or `ds_…` (its newest), `name@2` or `ds_…@2`, or `dsv_…`."""
    if ref.startswith("dsv_"):
        return _version(session, ref, _versions(project_id).where(DatasetVersion.id == ref))
    name, _, number = ref.partition("@")
    dataset = get(session, project_id, name)
    if not number:
        wanted = dataset.latest
    elif number.isdecimal() and len(number) < 10:
        wanted = int(number)
    else:
        raise NotFound("dataset version", ref)
    query = _versions(project_id).where(DatasetVersion.dataset_id == dataset.id)
    return _version(session, ref, query.where(DatasetVersion.number == wanted))


def load_version(session: Session, version_id: str) -> DatasetVersion:
    """The version of whatever project, deleted or not, for those who serve all."""
    return _version(session, version_id, select(DatasetVersion).filter_by(id=version_id))


def keep(session: Session, version_id: str) -> None:
    """Hold off a deletion of the version's dataset until the transaction ends."""
    query = (
        select(Dataset.id)
        .join(DatasetVersion, Dataset.id == DatasetVersion.dataset_id)
        .where(DatasetVersion.id == version_id, Dataset.deleted_at.is_(None))
    )
    if session.scalar(query.with_for_update(key_share=True, read=True, of=Dataset)) is None:
        raise NotFound("dataset version", version_id)


def versions(session: Session, dataset_id: str) -> list[DatasetVersion]:
    """All versions of a dataset, newest first."""
    query = select(DatasetVersion).filter_by(dataset_id=dataset_id)
    return list(session.scalars(query.order_by(DatasetVersion.number.desc())))


def newest(session: Session, datasets: Iterable[Dataset]) -> dict[str, DatasetVersion]:
    """The newest versions of datasets, by the dataset's id, in one query."""
    query = (
        select(DatasetVersion)
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .where(Dataset.id.in_([dataset.id for dataset in datasets]))
        .where(Dataset.latest == DatasetVersion.number)
    )
    return {version.dataset_id: version for version in session.scalars(query)}


def sources(
    session: Session, version_ids: Iterable[str]
) -> dict[str, tuple[Dataset, DatasetVersion]]:
    """Versions with their datasets, by the version's id, deleted ones too: what jobs refer to.

    Of both only the names are loaded; the profile of a version may take a megabyte.
    """
    names = (load_only(Dataset.name), load_only(DatasetVersion.dataset_id, DatasetVersion.number))
    query = (
        select(Dataset, DatasetVersion)
        .join(DatasetVersion, Dataset.id == DatasetVersion.dataset_id)
        .where(DatasetVersion.id.in_(list(version_ids)))
        .options(*names)
    )
    return {version.id: (dataset, version) for dataset, version in session.execute(query)}


def files(session: Session, version_id: str) -> list[DatasetFile]:
    query = select(DatasetFile).filter_by(version_id=version_id)
    return list(session.scalars(query.order_by(DatasetFile.position)))


def page(
    session: Session, project_id: str, *, cursor: str | None = None, limit: int = 50
) -> Page[Dataset]:
    return pages(
        session,
        _live(project_id),
        keys=(Dataset.created_at, Dataset.id),
        cursor=cursor,
        limit=limit,
        scope=f"datasets {project_id}",
    )


def delete_(session: Session, project_id: str, ref: str) -> None:
    """Delete a dataset with its files; jobs that used it keep its name.

    Raises Conflict while a job that is not over uses it.
    """
    dataset = get(session, project_id, ref)
    session.execute(select(Dataset.id).filter_by(id=dataset.id).with_for_update())
    own = select(DatasetVersion.id).filter_by(dataset_id=dataset.id)
    user = session.scalar(
        select(Job.id)
        .where(Job.dataset_version_id.in_(own), Job.state.not_in(sorted(TERMINAL)))
        .limit(1)
    )
    if user is not None:
        raise Conflict(f"job {user} uses dataset {dataset.name}: cancel it first, or wait for it")
    session.execute(
        delete(DatasetFile).where(DatasetFile.version_id.in_(own)),
        execution_options={"synchronize_session": False},
    )
    dataset.deleted_at = now()
    session.flush()


def _live(project_id: str) -> Select[Dataset]:
    return select(Dataset).where(Dataset.project_id == project_id, Dataset.deleted_at.is_(None))


def _versions(project_id: str) -> Select[DatasetVersion]:
    return (
        select(DatasetVersion)
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .where(Dataset.project_id == project_id, Dataset.deleted_at.is_(None))
    )


def _version(session: Session, ref: str, query: Select[DatasetVersion]) -> DatasetVersion:
    found = session.scalars(query).one_or_none()
    if found is None:
        raise NotFound("dataset version", ref)
    return found


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Invalid(
            [
                Problem(
                    pointer="/name",
                    code="bad_name",
                    detail="a dataset's name is 1 to 100 letters, digits, dots, dashes and "
                    "underscores, begins with a letter or digit, and not with ds_ or dsv_",
                    expected=NAME.pattern,
                    got=name,
                    hint="digits-2026",
                )
            ]
        )

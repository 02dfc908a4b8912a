"""A job spec on its way in: parsed, matched with its dataset, planned."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from core.errors import NotFound, Problem
from core.settings import Settings
from spec.data.profile import DataProfile
from spec.explain import of_profile
from spec.jobs import JobSpec, parse
from spec.plan import Plan, plan
from store import datasets, jobs
from store.tables import DatasetVersion, Job


@dataclass(frozen=True)
class Submission:
    """A spec that fits its data, and what it will cost."""

    spec: JobSpec
    plan: Plan
    profile: DataProfile
    dataset_version_id: str

    def explained(self) -> dict[str, Any]:
        """The plan, and the step that it will be compiled to; nothing is compiled."""
        explanation = of_profile(self.spec, self.profile).to_json()
        return {**self.plan.document(), "explanation": explanation}

    def queue(self, session: Session, project_id: str) -> Job:
        return jobs.create(
            session,
            project_id=project_id,
            spec=self.spec.document(),
            plan=self.plan.document(),
            name=self.spec.name,
            dataset_version_id=self.dataset_version_id,
            priority=self.spec.resources.priority,
            max_attempts=self.spec.resources.max_attempts,
            total_steps=self.plan.total_steps,
        )


def prepare(session: Session, project_id: str, document: Any, *, settings: Settings) -> Submission:
    """Raises Invalid with every problem of the spec, NotFound where its dataset is not there."""
    spec = parse(document)
    version = _dataset(session, project_id, spec.data.dataset)
    profile = DataProfile.from_json(version.profile)
    return Submission(spec, plan(spec, profile, limits=settings), profile, version.id)


def _dataset(session: Session, project_id: str, ref: str) -> DatasetVersion:
    try:
        return datasets.version(session, project_id, ref)
    except NotFound as error:
        error.problems = (
            Problem(
                pointer="/data/dataset",
                code="not_found",
                detail=error.detail,
                expected="the name of a dataset, name@version, or an id",
                got=ref,
                hint="GET /v1/datasets lists what there is",
            ),
        )
        raise

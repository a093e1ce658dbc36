"""The domain's tables. Verbs that change them stand in ``releases.domain``."""

from releases.models.application import Application, PlanVersion
from releases.models.approval import BreakGlass, Manifest, Vote
from releases.models.calendar import ChangeFreeze
from releases.models.case import CaseResult
from releases.models.checklist import ChecklistItem, Waiver
from releases.models.environment import Environment, Secret
from releases.models.evidence import Evidence
from releases.models.ledger import LedgerCheckpoint, LedgerEntry, LedgerNode, LedgerVerification
from releases.models.release import Release
from releases.models.risk import Risk, RiskAssessment
from releases.models.token import ReportToken
from releases.models.user import Membership, User, beside_names

__all__ = [
    "Application",
    "BreakGlass",
    "CaseResult",
    "ChangeFreeze",
    "ChecklistItem",
    "Environment",
    "Evidence",
    "LedgerCheckpoint",
    "LedgerEntry",
    "LedgerNode",
    "LedgerVerification",
    "Manifest",
    "Membership",
    "PlanVersion",
    "Release",
    "ReportToken",
    "Risk",
    "RiskAssessment",
    "Secret",
    "User",
    "Vote",
    "Waiver",
    "beside_names",
]

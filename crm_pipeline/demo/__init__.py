"""The synthetic company: customers whose behaviour, and whose files' dirt, is known exactly."""

from crm_pipeline.demo.company import DemoCompany
from crm_pipeline.demo.files import DEPARTMENTS
from crm_pipeline.demo.oracle import (
    has_no_order,
    history_at,
    latent_probabilities,
    oracle_expected_orders,
    oracle_probabilities,
)
from crm_pipeline.demo.truth import DemoTruth, read_truth
from crm_pipeline.demo.writer import write_corrections, write_demo

__all__ = [
    "DEPARTMENTS",
    "DemoCompany",
    "DemoTruth",
    "has_no_order",
    "history_at",
    "latent_probabilities",
    "oracle_expected_orders",
    "oracle_probabilities",
    "read_truth",
    "write_corrections",
    "write_demo",
]

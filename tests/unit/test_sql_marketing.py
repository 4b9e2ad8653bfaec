"""Campaigns and sessions of the public sources: published counts, rates and effects."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.landed import LandedWarehouse

pytestmark = pytest.mark.slow
"""The published files, landed and built: a few seconds each."""

FILES = {
    "email_experiment": ["email_experiment/hillstrom.csv.gz"],
    "marketing_campaign": [
        "marketing_campaign/marketing_campaign.csv.gz",
        "marketing_campaign/marketing_campaign_bom_semicolon_crlf.csv.gz",
    ],
    "online_shoppers": ["online_shoppers/online_shoppers_intention.csv.gz"],
}


def _deliver(warehouse: LandedWarehouse, source: str, *files: Path) -> None:
    inbox = warehouse.folder / "inbox" / source
    inbox.mkdir(parents=True)
    for file in files:
        (inbox / file.name).write_bytes(file.read_bytes())
        (inbox / f"{file.name}.done").touch()


@pytest.fixture(scope="module")
def company(shared_data, tmp_path_factory: pytest.TempPathFactory) -> LandedWarehouse:
    """The three sources in one home, landed and built."""
    files = {source: [shared_data(name) for name in names] for source, names in FILES.items()}
    warehouse = LandedWarehouse(tmp_path_factory.mktemp("company"), sources=sorted(files))
    for source, paths in files.items():
        _deliver(warehouse, source, *paths)
    report = warehouse.land()
    assert report.is_ok, report.messages
    warehouse.settle()
    warehouse.build_marts()
    return warehouse


def _rows(company: LandedWarehouse, sql: str) -> list[tuple]:
    with company.connection() as db:
        return db.execute(sql).fetchall()


def test_both_encodings_of_the_customers_are_the_same_rows(company: LandedWarehouse):
    landed = "landing.marketing_campaign__customers"
    assert _rows(company, f"select count(*), count(distinct _digest) from {landed}") == [(4_480, 2)]
    different = f"select count(*) from (select distinct columns(* exclude (_digest)) from {landed})"
    assert _rows(company, different) == [(2_240,)]
    assert _rows(company, "select count(*) from raw.marketing_campaign__customers") == [(2_240,)]


def test_customers_are_as_recorded_but_for_impossible_ages(company: LandedWarehouse):
    found = _rows(
        company,
        "select count(*), count(birth_year), min(birth_year), count(income_amount), "
        "max(income_amount), count(distinct education), min(first_seen_at), max(first_seen_at) "
        "from marts.dim_customers where source = 'marketing_campaign' and not is_stub",
    )
    [(count, born, oldest, incomes, highest, degrees, first, last)] = found
    # 1893, 1899 and 1900 enrolled at more than 110 years of age
    assert (count, born, oldest) == (2_240, 2_237, 1940)
    assert (incomes, int(highest), degrees) == (2_216, 666_666, 5)
    assert (str(first), str(last)) == ("2012-07-29 22:00:00", "2014-06-28 22:00:00")
    assert _rows(
        company,
        "select count(*) from raw.marketing_campaign__customers "
        "where marital_status in ('Absurd', 'YOLO')",
    ) == [(4,)]


def test_six_campaigns_and_the_published_result_of_the_last(company: LandedWarehouse):
    found = _rows(
        company,
        "select campaign_name, reached_count, response_count, revenue_amount, cost_amount "
        "from marts.campaign_performance where source = 'marketing_campaign' order by 1",
    )
    assert [row[:3] for row in found] == [
        ("Campaign 1", 2_240, 144),
        ("Campaign 2", 2_240, 30),
        ("Campaign 3", 2_240, 163),
        ("Campaign 4", 2_240, 167),
        ("Campaign 5", 2_240, 163),
        ("Campaign 6", 2_240, 334),
    ]
    # cost of 3 a contact, revenue of 11 an acceptance: a loss of 3,046
    assert [row[3:] for row in found[:5]] == [(None, None)] * 5
    assert (int(found[5][3]), int(found[5][4])) == (3_674, 6_720)


def test_the_experiment_has_its_published_rates(company: LandedWarehouse):
    found = _rows(
        company,
        """
        select experiment_arm, count(*), round(100 * avg(cast(is_responded as integer)), 3),
            round(100 * avg(cast(is_converted as integer)), 3),
            round(sum(response_amount) / count(*), 5)
        from marts.fct_campaign_touches where source = 'email_experiment'
        group by experiment_arm order by 1
        """,
    )
    assert found == [
        ("Mens E-Mail", 21_307, 18.276, 1.253, 1.42262),
        ("No E-Mail", 21_306, 10.617, 0.573, 0.65279),
        ("Womens E-Mail", 21_387, 15.140, 0.884, 1.07720),
    ]
    people = "count(*), count(distinct touch_key), count(customer_key)"
    touches = "marts.fct_campaign_touches where source = 'email_experiment'"
    assert _rows(company, f"select {people} from {touches}") == [(64_000, 64_000, 0)]


@pytest.mark.parametrize(
    ("arm", "metric", "difference", "digits", "statistic"),
    [
        ("Mens E-Mail", "response", 0.07659, 5, 22.49),
        ("Womens E-Mail", "response", 0.04523, 5, 13.95),
        ("Mens E-Mail", "conversion", 0.00681, 5, None),
        ("Womens E-Mail", "conversion", 0.00311, 5, None),
        ("Mens E-Mail", "amount", 0.7698, 4, 5.30),
        ("Womens E-Mail", "amount", 0.4244, 4, 3.26),
    ],
)
def test_the_experiment_has_its_published_effects(
    company: LandedWarehouse, arm, metric, difference, digits, statistic
):
    [(found, z, low, high, control)] = _rows(
        company,
        "select difference, test_statistic, difference_low, difference_high, control_count "
        f"from marts.campaign_effect where experiment_arm = '{arm}' and metric = '{metric}'",
    )
    assert round(found, digits) == difference
    assert statistic is None or round(z, 2) == statistic
    assert 0 < low < found < high
    assert control == 21_306


def test_every_visit_is_a_session_of_its_own(company: LandedWarehouse):
    assert _rows(
        company,
        "select count(*), count(distinct session_key), count(*) filter (has_order), "
        "count(*) filter (is_bounce), count(*) filter (page_count <= 1), count(started_on) "
        "from marts.fct_sessions",
    ) == [(12_330, 12_330, 1_908, 595, 603, 0)]
    columns = "* exclude (_file, _line)"
    identical = (
        f"select count(*) from (select distinct {columns} from raw.online_shoppers__sessions)"
    )
    assert _rows(company, identical) == [(12_205,)]
    [(sessions, views, carts, orders)] = _rows(
        company,
        "select sum(session_count), sum(product_view_sessions), count(cart_sessions), "
        "sum(order_sessions) from marts.web_funnel where month is null",
    )
    assert (sessions, orders, carts) == (12_330, 1_908, 0)
    assert orders < views < sessions
    assert _rows(company, "select count(*) from marts.web_daily") == [(0,)]


def test_nothing_that_sources_do_not_tell_is_made_up(company: LandedWarehouse):
    for table in ("fct_orders", "attribution", "customer_consents", "session_orders"):
        assert _rows(company, f"select count(*) from marts.{table}") == [(0,)], table


def test_the_experiment_has_its_published_effects_in_scores_and_no_uplift_without_customers(
    company: LandedWarehouse,
):
    """What the pipeline's own steps make of it (shared/references.md, section 5)."""
    from crm_pipeline.defs.modelling.analyses import experiments
    from crm_pipeline.defs.modelling.models import uplift
    from crm_pipeline.defs.modelling.store import run_settings

    with company.connection() as db:
        settings = run_settings(db)
        frames = experiments.SPEC.frames(db, settings)
        people = uplift.SPEC.training_frames(db, settings)
    assert len(frames["people"]) == 64_000
    found = experiments.SPEC.compute(frames, settings)["experiment_results"]
    assert list(found["verdict"].unique()) == ["raises"]
    assert found["sample_ratio_p_value"].min() > 0.5
    effects = found.set_index(["experiment_arm", "outcome"])["effect"].round(5).to_dict()
    assert effects["Mens E-Mail", "response"] == 0.07659
    assert effects["Womens E-Mail", "response"] == 0.04523
    assert effects["Womens E-Mail", "amount"] == 0.42441
    mart = _rows(
        company,
        "select experiment_arm, metric, difference, difference_low, difference_high "
        "from marts.campaign_effect where campaign_key like 'email_experiment:%'",
    )
    plain = found[found["method"] != "cuped"].set_index(["experiment_arm", "outcome"])
    assert len(mart) == len(plain) == 6
    for arm, metric, *figures in mart:
        scores = plain.loc[(arm, metric), ["effect", "effect_low", "effect_high"]].tolist()
        # of amounts the mart has the normal point, the score that of t with 40,000 degrees
        assert scores == pytest.approx(figures, rel=2e-4 if metric == "amount" else 1e-6, abs=1e-8)
    trained = uplift.SPEC.train(people, settings, None)
    assert trained.status == "too_little_data"
    assert "no experiment with people of whom orders before it are known" in trained.reason

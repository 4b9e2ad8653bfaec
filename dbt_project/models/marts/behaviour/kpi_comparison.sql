{{ before_and_after(
    days=ref('kpi_daily'),
    date_column='date_on',
    kpis=[
        'order_count', 'active_customers', 'new_customers', 'returning_customers', 'gross_amount',
        'returned_amount', 'net_amount', 'average_order_amount', 'ticket_count', 'resolution_count', 'csat_count',
        'session_count', 'opened_opportunity_count', 'won_opportunity_count', 'won_amount', 'lead_count', 'touch_count',
    ],
    events=ref('int_events_to_compare'),
) }}

{#-
    Satisfaction from sums: the figures that satisfaction_monthly and satisfaction_summary share.
-#}

{#- The figures, as the last columns of a select; `question_count` is a column beside the sums. -#}
{% macro satisfaction_figures() -%}
    cast(response_count as bigint) as response_count,
    {{ metric('score_mean') }} as score_mean,
    {{ mean_end('-', 'score_total', 'score_squares', 'response_count') }} as score_mean_low,
    {{ mean_end('+', 'score_total', 'score_squares', 'response_count') }} as score_mean_high,
    {{ metric('top_box_rate') }} as top_box_rate,
    {{ rate_end('-', 'top_box_count', 'response_count') }} as top_box_low_rate,
    {{ rate_end('+', 'top_box_count', 'response_count') }} as top_box_high_rate,
    cast(weighted_total as double) as weighted_total,
    {{ metric('weighted_score') }} as weighted_score,
    question_count,
    {{ metric('score_mean') }} * question_count as questionnaire_mean,
    cast(nps_count as bigint) as nps_count,
    {{ metric('nps') }} as nps,
    {{ net_promoter_end('-', 'promoter_count', 'detractor_count', 'nps_count') }} as nps_low,
    {{ net_promoter_end('+', 'promoter_count', 'detractor_count', 'nps_count') }} as nps_high,
    cast(comment_count as bigint) as comment_count,
    {{ metric('sentiment_mean') }} as sentiment_mean,
    {{ mean_end('-', 'sentiment_total', 'sentiment_squares', 'sentiment_count') }} as sentiment_mean_low,
    {{ mean_end('+', 'sentiment_total', 'sentiment_squares', 'sentiment_count') }} as sentiment_mean_high,
    {{ metric('positive_share') }} as positive_share,
    {{ metric('negative_share') }} as negative_share
{%- endmacro %}

{#-
    Satisfaction from sums: the figures that satisfaction_monthly and satisfaction_summary share.
-#}

{#- The figures, as the last columns of a select; `question_count` is a column beside the sums. -#}
{% macro satisfaction_figures() -%}
    cast(response_count as bigint) as response_count,
    {{ mean_of('score_total', 'response_count') }} as score_mean,
    {{ mean_end('-', 'score_total', 'score_squares', 'response_count') }} as score_mean_low,
    {{ mean_end('+', 'score_total', 'score_squares', 'response_count') }} as score_mean_high,
    {{ mean_of('top_box_count', 'response_count') }} as top_box_rate,
    {{ rate_end('-', 'top_box_count', 'response_count') }} as top_box_low_rate,
    {{ rate_end('+', 'top_box_count', 'response_count') }} as top_box_high_rate,
    cast(weighted_total as double) as weighted_total,
    {{ mean_of('weighted_total', 'weight_total') }} as weighted_score,
    question_count,
    {{ mean_of('score_total', 'response_count') }} * question_count as questionnaire_mean,
    cast(nps_count as bigint) as nps_count,
    {{ net_promoter_score('promoter_count', 'detractor_count', 'nps_count') }} as nps,
    {{ net_promoter_end('-', 'promoter_count', 'detractor_count', 'nps_count') }} as nps_low,
    {{ net_promoter_end('+', 'promoter_count', 'detractor_count', 'nps_count') }} as nps_high,
    cast(comment_count as bigint) as comment_count,
    {{ mean_of('sentiment_total', 'sentiment_count') }} as sentiment_mean,
    {{ mean_end('-', 'sentiment_total', 'sentiment_squares', 'sentiment_count') }} as sentiment_mean_low,
    {{ mean_end('+', 'sentiment_total', 'sentiment_squares', 'sentiment_count') }} as sentiment_mean_high,
    {{ mean_of('positive_count', 'sentiment_count') }} as positive_share,
    {{ mean_of('negative_count', 'sentiment_count') }} as negative_share
{%- endmacro %}

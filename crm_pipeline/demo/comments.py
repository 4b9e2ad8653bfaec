"""What people write under a score: English and Chinese, in the score's spirit.

Some name a person, an e-mail address or a telephone number.
"""

from __future__ import annotations

from crm_pipeline.demo.persons import Persons, phone

WRITTEN_RATE = 0.6
CHINESE_RATE = 0.3
NAMING_RATE = 0.15
ENGLISH = {
    "good": (
        "Very friendly and quick help with my {topic}, thank you!",
        "Excellent service, the {topic} problem was solved at once.",
        "Great, I am happy with how fast you answered.",
    ),
    "middling": (
        "It was okay, but the {topic} question took some time.",
        "Average. The answer came, not more.",
    ),
    "bad": (
        "Terrible. I waited far too long for an answer about my {topic}.",
        "Very disappointed: the {topic} is still wrong and nobody cares.",
        "Bad service, slow and unfriendly.",
    ),
}
CHINESE = {
    "good": ("服务很好,回复很快,非常满意!", "客服很热情,问题马上解决了,谢谢。"),
    "middling": ("一般,等了一段时间才有回复。", "还可以,没有特别的地方。"),
    "bad": ("服务很差,等了很久都没有人回复,非常失望。", "质量太差,客服态度不好,要求退货!"),
}


def comment(
    persons: Persons, customer: int, topic: str, share: float, lot: float, position: int
) -> str | None:
    """The comment under a score that is ``share`` of the highest; ``lot`` is uniform on (0, 1)."""
    if lot > WRITTEN_RATE:
        return None
    mood = "good" if share >= 0.8 else "bad" if share <= 0.45 else "middling"
    lot = lot / WRITTEN_RATE
    words = (CHINESE if lot < CHINESE_RATE else ENGLISH)[mood]
    said = words[position % len(words)].format(topic=topic)
    if position % 100 >= 100 * NAMING_RATE:
        return said
    number = phone(int(persons.serial[customer]) + 1000, position)
    if lot < CHINESE_RATE:
        return f"{said}请联系{persons.full_name[customer]},电话{number}。"
    mail = persons.email[customer]
    return f"{said} Please write to {persons.full_name[customer]}, {mail}, or call {number}."

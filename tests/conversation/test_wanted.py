from __future__ import annotations

from voxtral_voice.conversation.events import UNLIMITED, NamedTool, ReplyOptions, Settings, Tool
from voxtral_voice.conversation.wanted import Wanted, wanted

TOOL = Tool("weather", "", "{}")
SESSION = Settings("Be kind.", "af_bella", modality="text", max_output_tokens=9, tools=(TOOL,), tool_choice="required")


def test_a_reply_is_as_the_session_has_it() -> None:
    assert wanted(ReplyOptions(), SESSION) == Wanted("Be kind.", "af_bella", "text", 9, (TOOL,), "required", True)


def test_what_the_client_asks_for_wins_also_when_it_is_nothing() -> None:
    options = ReplyOptions("", "af_heart", "audio", 3, (), NamedTool("weather"), False)
    assert wanted(options, SESSION) == Wanted("", "af_heart", "audio", 3, (), NamedTool("weather"), False)


def test_calls_need_a_tool_and_leave_to_call_it() -> None:
    assert wanted(ReplyOptions(), SESSION).may_call
    assert not wanted(ReplyOptions(tools=()), SESSION).may_call
    assert not wanted(ReplyOptions(tool_choice="none"), SESSION).may_call


def test_one_reply_may_be_without_the_session_s_limit() -> None:
    assert wanted(ReplyOptions(max_output_tokens=UNLIMITED), SESSION).max_tokens is None

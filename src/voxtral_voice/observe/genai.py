"""Names of span attributes: OpenTelemetry's for generative AI, and our own.

Knows: the names, in one place. Does not know: spans.

OpenTelemetry's conventions for generative AI are in development, and what they say of voice is proposed, not agreed;
the names that may still change are marked. When one does, it is changed here. Source: the repository
open-telemetry/semantic-conventions-genai.
"""

from __future__ import annotations

from typing import Final

# --- in the conventions -----------------------------------------------------------------------------------------

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
AGENT: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
MODEL: Final = "gen_ai.request.model"
RESPONSE: Final = "gen_ai.response.id"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
ERROR: Final = "error.type"

INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"

# --- proposed there ---------------------------------------------------------------------------------------------

SPEECH_TO_TEXT: Final = "speech_to_text"
TEXT_TO_SPEECH: Final = "text_to_speech"
END_REASON: Final = "gen_ai.agent.invocation.end_reason"
VOICE: Final = "gen_ai.speech.voice"
INPUT_LANGUAGE: Final = "gen_ai.speech.input.language"

# --- ours: no latency has a name yet that all agree on ----------------------------------------------------------

OURS: Final = "voxtral_voice"
TURN: Final = "voxtral_voice.turn.id"
STATUS: Final = "voxtral_voice.reply.status"
REASON: Final = "voxtral_voice.reply.reason"
AUDIO_S: Final = "voxtral_voice.reply.audio_seconds"
V2V_S: Final = "voxtral_voice.turn.latency_seconds"
"""Last voiced sample in to first audio out, at the server."""
ENDPOINT_S: Final = "voxtral_voice.turn.endpoint_seconds"
STAGE: Final = "voxtral_voice.turn.stage"
"""As in the metric voxtral_voice_stage_latency_seconds."""

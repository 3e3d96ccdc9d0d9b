"""A Messages API on the loopback, for the real client: scripted replies, every fault, and strict about what it is sent.

`with FakeAPI(script) as api:` serves from this process, `with Served(script, folder) as api:` from one of its own that outlives
whatever is killed, and `python -m tests.fake_api --script FILE --log FILE` the same by hand. Each is an `Account` of what has come.

A script maps a conversation to its replies: `{"a text of its first message or system": [reply, …], …}`, the first text that is found;
"" is found in all. Which reply a request gets is told by the number of assistant messages in it, so that a request that is sent
again gets the same one. The value of a text, or the whole script, may be a function from the `Request` to a reply, or None. A reply:

    {text | json, thinking, tools: [[name, input], …],      what it says; `json` is a value that is the text
     stop, stop_details, stop_sequence, usage: {…},         default: by what it says, and as it is counted
     delay: seconds before the first byte, drip: seconds between events,
     faults: [fault | reply, …]}                            each happens once, in this order, before the reply itself

A fault is a name of `FAULTS` or `{"fault": name, …}` with what it takes: `retry_after` (seconds; 429 has 1), `headers`, `message`, `status`
(html), `seconds` (hang), `after` (events before a stream ends), `reset` (cut: by a reset, not an end). A reply among the faults is given
once in place of the later one: a reply that was cut at max_tokens, say, whose turn is then asked for again.
"""

from tests.fake_api.faults import FAULTS
from tests.fake_api.forms import KEY, Refused
from tests.fake_api.record import Account, Request
from tests.fake_api.script import Script
from tests.fake_api.served import Served
from tests.fake_api.server import FakeAPI

__all__ = ["FAULTS", "KEY", "Account", "FakeAPI", "Refused", "Request", "Script", "Served"]

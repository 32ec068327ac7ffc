//! `create_message_matcher`

use ::matcher::Matcher;

use crate::native::{Call, Error, Function, Object, Returned};

/// Bytes of an expression.
const LONGEST: usize = 4096;
/// Bytes that a compiled regex counts for, beside some for each byte of an expression.
const REGEX: usize = 256 << 10;
const BYTE: usize = 64;
/// Bytes that a class such as `\pL` may take while a regex is compiled.
const CLASS: usize = 16 << 10;

/// A compiled expression.
pub(super) struct MessageMatcher {
    matcher: Matcher,
    bytes: usize,
}

impl Object for MessageMatcher {
    const NAME: &'static str = "message_matcher";
    const METHODS: &'static [Function] = &[Function {
        name: "eval",
        signature: "() -> boolean",
        doc: "Whether the message at hand matches; false when there is none, in a tick.",
        call: eval,
    }];

    fn bytes(&self) -> usize {
        self.bytes
    }
}

/// `create_message_matcher(expression)`
pub(super) fn create_message_matcher(call: &mut Call<'_>) -> Result<Returned, Error> {
    let text = call.text(1)?;
    if text.len() > LONGEST {
        return Err(Error::argument(1, format!("an expression has at most {LONGEST} bytes")));
    }
    let bytes = text.len() * BYTE + text.matches("~").count() * if text.contains('/') { REGEX } else { BYTE };
    call.room_for(bytes + text.matches('\\').count() * CLASS)?;
    let matcher = Matcher::parse(&text).map_err(|e| Error::message(format!("invalid message_matcher: {e}")))?;
    call.push_object(MessageMatcher { matcher, bytes })?;
    Ok(Returned(1))
}

fn eval(call: &mut Call<'_>) -> Result<Returned, Error> {
    let matcher = call.object::<MessageMatcher>(1)?;
    let host = call.lua().host();
    let holds = host.message().is_some_and(|m| matcher.borrow().matcher.matches(m));
    call.push_bool(holds)?;
    Ok(Returned(1))
}

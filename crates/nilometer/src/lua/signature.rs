//! Signatures of native functions, `(rows: integer, title?: string, ...: any) -> boolean, string?`, taken apart.

/// A function's signature.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    pub parameters: Vec<Parameter<'a>>,
    /// Types.
    pub returns: Vec<&'a str>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Parameter<'a> {
    /// `...` for any number.
    pub name: &'a str,
    pub is_optional: bool,
    pub type_: &'a str,
}

impl<'a> Signature<'a> {
    /// `None`: it is malformed.
    pub fn parse(text: &'a str) -> Option<Signature<'a>> {
        let close = closing(text)?;
        let returns = match text[close + 1..].trim() {
            "" => Vec::new(),
            rest => split(rest.strip_prefix("->")?),
        };
        let parameters = split(&text[1..close]).into_iter().map(parameter).collect::<Option<_>>()?;
        Some(Signature { parameters, returns })
    }
}

fn parameter(text: &str) -> Option<Parameter<'_>> {
    let (name, type_) = text.split_once(':')?;
    let (name, type_) = (name.trim(), type_.trim());
    let bare = name.strip_suffix('?').unwrap_or(name);
    (!bare.is_empty() && !type_.is_empty()).then_some(Parameter { name: bare, is_optional: bare != name, type_ })
}

/// Where the bracket closes that the text begins with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (at > 0).then_some(at);
        }
    }
    None
}

/// Parts between commas that are in no brackets.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' | '<' | '{' | '[' => depth += 1,
            ')' | '}' | ']' => depth -= 1,
            '>' if !text[..at].ends_with('-') => depth -= 1,
            ',' if depth == 0 => {
                parts.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_results_are_told_apart() {
        let s = Signature::parse("(rows: integer, f?: fun(a: string, b: any): any, t?: table<string, any>, ...: any) -> boolean, string?")
            .unwrap();
        assert_eq!(s.parameters.iter().map(|p| p.name).collect::<Vec<_>>(), ["rows", "f", "t", "..."]);
        assert_eq!(s.parameters[1], Parameter { name: "f", is_optional: true, type_: "fun(a: string, b: any): any" });
        assert_eq!(s.returns, ["boolean", "string?"]);
        assert_eq!(Signature::parse("()").unwrap(), Signature { parameters: Vec::new(), returns: Vec::new() });
        for bad in ["", "rows", "(a: b", "(a)", "() boolean"] {
            assert_eq!(Signature::parse(bad), None, "{bad}");
        }
    }
}

use message::Header;

/// What the writer of an unknown word may have meant.
pub(crate) fn for_word(word: &str) -> String {
    if let Some((_, field)) = word.split_once('.').filter(|(head, field)| head.eq_ignore_ascii_case("fields") && !field.is_empty()) {
        return format!("did you mean `Fields[{field}]`?");
    }
    match word.to_ascii_lowercase().as_str() {
        "fields" | "field" => return "a field is written `Fields[name]`".to_owned(),
        "and" => return "did you mean `&&`?".to_owned(),
        "or" => return "did you mean `||`?".to_owned(),
        "not" => return "negation is written `!( … )`".to_owned(),
        _ => {}
    }
    let known = Header::ALL.iter().map(|h| h.name()).chain(["TRUE", "FALSE", "NIL"]);
    let nearest = known.map(|name| (distance(word, name), name)).min_by_key(|(d, _)| *d);
    match nearest {
        Some((d, name)) if d <= 2 && d < name.len().min(word.len()) => format!("did you mean `{name}`?"),
        _ => format!("a field is written `Fields[{word}]`, text stands in quotes"),
    }
}

/// How many letters to insert, delete or replace, regardless of case (Levenshtein). Words longer
/// than 20 letters resemble nothing.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 20 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        for (word, name) in
            [("type", "Type"), ("Typ", "Type"), ("Host_name", "Hostname"), ("severty", "Severity"), ("nil", "NIL"), ("True", "TRUE")]
        {
            assert_eq!(for_word(word), format!("did you mean `{name}`?"));
        }
        assert_eq!(for_word("Fields.status"), "did you mean `Fields[status]`?");
        assert_eq!(for_word("status"), "a field is written `Fields[status]`, text stands in quotes");
        assert_eq!(distance("kitten", "sitting"), 3);
    }
}

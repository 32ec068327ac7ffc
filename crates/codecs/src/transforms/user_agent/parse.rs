use super::rules::{BOTS, BROWSERS, RATHER, SYSTEMS, TELEVISIONS, WINDOWS};

/// What a `User-Agent` tells; empty: nothing.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(super) struct Agent {
    pub browser: String,
    pub version: String,
    pub os: &'static str,
    pub os_version: String,
    pub device: &'static str,
}

/// Longest version and name that are taken over.
const LONGEST: usize = 64;

/// Products, as in `name/version`, and comments (RFC 9110 §10.1.5) of a text: `(a; b)` are two comments. The work is in
/// proportion to the text's length.
struct Parts<'a> {
    products: Vec<(&'a str, &'a str)>,
    comments: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Parts<'a> {
        let mut parts = Parts { products: Vec::new(), comments: Vec::new() };
        let mut rest = text;
        while let Some(open) = rest.find('(') {
            parts.products(&rest[..open]);
            // Comments in comments are part of them.
            let mut depth = 0_usize;
            let close = rest[open..].find(|c| {
                depth = match c {
                    '(' => depth + 1,
                    ')' => depth - 1,
                    _ => depth,
                };
                depth == 0
            });
            let inside = close.map_or(&rest[open + 1..], |close| &rest[open + 1..open + close]);
            parts.comments.extend(inside.split(';').map(str::trim).filter(|c| !c.is_empty()));
            rest = close.map_or("", |close| &rest[open + close + 1..]);
        }
        parts.products(rest);
        parts
    }

    fn products(&mut self, text: &'a str) {
        // Applications of Facebook write `[FBAN/FBIOS;FBAV/1.0;…]`.
        let words = text.split([' ', '[', ']', ';', ',']).filter(|w| !w.is_empty());
        self.products.extend(words.map(|word| word.split_once('/').unwrap_or((word, ""))));
    }

    /// The version of a product, or of one that a comment names: `MSIE 9.0`, `rv:11.0`.
    fn version(&self, name: &str) -> Option<&'a str> {
        let product = self.products.iter().find(|(product, _)| *product == name).map(|(_, version)| *version);
        product.or_else(|| {
            let behind = |comment: &&'a str| comment.strip_prefix(name)?.strip_prefix([' ', ':', '/']);
            self.comments.iter().find_map(behind)
        })
    }

    /// Whether this is a word of the text itself or of a comment.
    fn has(&self, word: &str) -> bool {
        self.products.iter().any(|(product, _)| *product == word) || self.comments.iter().any(|c| c.split(' ').any(|w| w == word))
    }

    fn browser(&self) -> (&'a str, &'a str) {
        let found = BROWSERS.iter().find_map(|b| Some((b, self.version(b.token)?)));
        if let Some((browser, version)) = found {
            let version = browser.version.and_then(|other| self.version(other)).unwrap_or(version);
            let android = browser.name == "Safari" && self.comments.iter().any(|c| c.starts_with("Android"));
            return (if android { "Android Browser" } else { browser.name }, version);
        }
        // Programs other than browsers begin with their own name.
        self.products.first().copied().filter(|(name, _)| *name != "Mozilla").unwrap_or_default()
    }

    /// A program that goes through the web by itself.
    fn bot(&self) -> Option<(&'a str, &'a str)> {
        let is_bot = |name: &str| {
            let name = name.to_ascii_lowercase();
            // A make of phones ends so as well.
            let is = |word: &str| !word.starts_with("cubot") && BOTS.iter().any(|bot| word.ends_with(bot));
            is(&name) || name.split('-').any(is)
        };
        let named = |comment: &&'a str| {
            let (name, version) = comment.split_once('/').unwrap_or((comment, ""));
            (is_bot(name) && !name.contains("://")).then_some((name, version))
        };
        self.products.iter().copied().find(|(name, _)| is_bot(name)).or_else(|| self.comments.iter().find_map(named))
    }

    fn system(&self) -> (&'static str, String) {
        let mut found: Option<(&'static str, &'a str)> = None;
        for comment in &self.comments {
            let Some((begin, name)) = SYSTEMS.iter().find(|(begin, _)| comment.starts_with(begin)) else { continue };
            let version = &comment[begin.len()..];
            found = match found {
                None => Some((name, version)),
                Some((known, "")) if known == *name => Some((name, version)),
                Some((known, _)) if RATHER.contains(&(known, name)) => Some((name, version)),
                known => known,
            };
        }
        let Some((name, version)) = found else { return ("", String::new()) };
        let version = digits(version.trim_start()).replace('_', ".");
        match name {
            "Windows" => (name, WINDOWS.iter().find(|(kernel, _)| *kernel == version).map_or(version, |(_, v)| v.to_string())),
            "Linux" => (name, String::new()),
            _ => (name, version),
        }
    }

    fn device(&self, text: &str, os: &str) -> &'static str {
        let lower = text.to_ascii_lowercase();
        let is = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        match os {
            _ if is(TELEVISIONS) => "tv",
            "PlayStation" | "Xbox" | "Nintendo" => "console",
            _ if is(&["ipad", "tablet"]) && os != "Windows" || os == "Android" && !self.has("Mobile") => "tablet",
            "iOS" | "Android" | "Windows Phone" | "KaiOS" | "HarmonyOS" => "mobile",
            _ if self.has("Mobile") => "mobile",
            "" => "",
            _ => "desktop",
        }
    }
}

/// The version that a text begins with.
fn digits(text: &str) -> &str {
    &text[..text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len())]
}

/// The version that a product has: up to what no version has in it.
fn version(text: &str) -> String {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-' | '+')).unwrap_or(text.len());
    text[..end.min(LONGEST)].to_string()
}

fn short(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

impl Agent {
    /// Reads the text of a `User-Agent`.
    pub fn of(text: &str) -> Agent {
        // How servers log that there is none.
        if text == "-" {
            return Agent::default();
        }
        let parts = Parts::of(text);
        let (os, os_version) = parts.system();
        if let Some((name, number)) = parts.bot() {
            return Agent { browser: short(name), version: version(number), os, os_version: short(&os_version), device: "bot" };
        }
        let (name, number) = parts.browser();
        let device = match parts.device(text, os) {
            "" if !name.is_empty() => "tool",
            device => device,
        };
        Agent { browser: short(name), version: version(number), os, os_version: short(&os_version), device }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Agent;

    #[test]
    fn agents_are_told_apart() {
        let mozilla = |rest: &str| format!("Mozilla/5.0 {rest}");
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        for (text, expected) in [
            (
                mozilla(&format!("(Windows NT 10.0; Win64; x64) {webkit} Chrome/120.0.0.0 Safari/537.36")),
                "Chrome|120.0.0.0|Windows|10|desktop",
            ),
            (mozilla(&format!("(Windows NT 6.1; WOW64) {webkit} Chrome/99.0 Safari/537.36 Edg/99.1")), "Edge|99.1|Windows|7|desktop"),
            (mozilla(&format!("(X11; Linux x86_64) {webkit} Chrome/99.0 Safari/537.36 OPR/85.0")), "Opera|85.0|Linux||desktop"),
            (mozilla("(X11; Ubuntu; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0"), "Firefox|115.0|Linux||desktop"),
            (
                mozilla("(Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1 Safari/605.1.15"),
                "Safari|17.1|macOS|10.15.7|desktop",
            ),
            (
                mozilla(
                    "(iPhone; CPU iPhone OS 17_2 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.2 Mobile/15E148 Safari/604.1",
                ),
                "Safari|17.2|iOS|17.2|mobile",
            ),
            (
                mozilla(
                    "(iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/119.0 Mobile/15E148 Safari/604.1",
                ),
                "Chrome|119.0|iOS|16.6|tablet",
            ),
            (
                mozilla(&format!("(Linux; Android 13; SM-S918B) {webkit} SamsungBrowser/23.0 Chrome/115.0 Mobile Safari/537.36")),
                "Samsung Internet|23.0|Android|13|mobile",
            ),
            (mozilla(&format!("(Linux; Android 12; SM-X906C) {webkit} Chrome/80.0 Safari/537.36")), "Chrome|80.0|Android|12|tablet"),
            (mozilla("(Android 14; Mobile; rv:121.0) Gecko/121.0 Firefox/121.0"), "Firefox|121.0|Android|14|mobile"),
            (
                mozilla("(Linux; U; Android 4.0.3; de-de; GT) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30"),
                "Android Browser|4.0|Android|4.0.3|mobile",
            ),
            (mozilla(&format!("(X11; CrOS x86_64 14541.0.0) {webkit} Chrome/119.0 Safari/537.36")), "Chrome|119.0|ChromeOS||desktop"),
            (mozilla("(Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko"), "Internet Explorer|11.0|Windows|10|desktop"),
            ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.0; Trident/4.0)".into(), "Internet Explorer|8.0|Windows|Vista|desktop"),
            ("Opera/9.80 (Windows NT 5.1; U; en) Presto/2.10 Version/12.16".into(), "Opera|12.16|Windows|XP|desktop"),
            (mozilla(&format!("(SMART-TV; Linux; Tizen 5.0) {webkit} Version/5.0 TV Safari/537.36")), "Safari|5.0|Tizen|5.0|tv"),
            (
                mozilla("(PlayStation 5 2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15"),
                "Safari|13.0|PlayStation|5|console",
            ),
            (
                mozilla(
                    "(iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605 (KHTML, like Gecko) Mobile/1 [FBAN/FBIOS;FBAV/343.0.0;FBBV/3]",
                ),
                "Facebook|343.0.0|iOS|15.0|mobile",
            ),
            (mozilla("(compatible; Googlebot/2.1; +http://www.google.com/bot.html)"), "Googlebot|2.1|||bot"),
            (
                mozilla(&format!(
                    "(Linux; Android 6.0.1; X) {webkit} Chrome/99 Mobile Safari/537.36 (compatible; bingbot/2.0; +http://b/bingbot.htm)"
                )),
                "bingbot|2.0|Android|6.0.1|bot",
            ),
            ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)".into(), "facebookexternalhit|1.1|||bot"),
            ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)".into(), "Slackbot-LinkExpanding||||bot"),
            (mozilla(&format!("(Linux; Android 10; CUBOT) {webkit} Chrome/99.0 Mobile Safari/537.36")), "Chrome|99.0|Android|10|mobile"),
            (mozilla(&format!("(X11; Linux x86_64) {webkit} HeadlessChrome/99.0 Safari/537.36")), "HeadlessChrome|99.0|Linux||bot"),
            ("curl/8.4.0".into(), "curl|8.4.0|||tool"),
            ("python-requests/2.31.0".into(), "python-requests|2.31.0|||tool"),
            ("Apache-HttpClient/4.5 (Java/17)".into(), "Apache-HttpClient|4.5|||tool"),
            ("kube-probe/1.28".into(), "kube-probe|1.28|||tool"),
            ("-".into(), "||||"),
            ("".into(), "||||"),
            ("Mozilla/5.0".into(), "||||"),
        ] {
            let a = Agent::of(&text);
            assert_eq!(format!("{}|{}|{}|{}|{}", a.browser, a.version, a.os, a.os_version, a.device), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in prop_oneof!["\\PC{0,80}", "[()/;\\[\\] a-z]{0,60}", "(Mozilla/5.0|Windows NT|Android|\\(|\\)|bot|;| ){0,20}"]) {
            let agent = Agent::of(&text);
            prop_assert!(agent.browser.chars().count() <= 64 && agent.version.len() <= 64 && agent.os_version.len() <= 64);
        }
    }
}

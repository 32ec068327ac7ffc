//! What programs call themselves in `User-Agent`, as a table: products are looked for in its order, and the first that is there
//! is the browser.

/// A product's name as it is sent, and as it is called; where its version is said by another product, that one's name.
pub(super) struct Browser {
    pub token: &'static str,
    pub name: &'static str,
    pub version: Option<&'static str>,
}

const fn browser(token: &'static str, name: &'static str) -> Browser {
    Browser { token, name, version: None }
}

const fn versioned(token: &'static str, name: &'static str, version: &'static str) -> Browser {
    Browser { token, name, version: Some(version) }
}

/// Browsers name those they are compatible with as well: the more particular come first.
pub(super) const BROWSERS: &[Browser] = &[
    browser("Electron", "Electron"),
    browser("FBAV", "Facebook"),
    browser("FBAN", "Facebook"),
    browser("Instagram", "Instagram"),
    browser("EdgA", "Edge"),
    browser("EdgiOS", "Edge"),
    browser("Edg", "Edge"),
    browser("Edge", "Edge"),
    browser("OPiOS", "Opera"),
    browser("OPT", "Opera"),
    browser("OPR", "Opera"),
    versioned("Opera", "Opera", "Version"),
    browser("SamsungBrowser", "Samsung Internet"),
    browser("YaBrowser", "Yandex Browser"),
    browser("Vivaldi", "Vivaldi"),
    browser("DuckDuckGo", "DuckDuckGo"),
    browser("Ddg", "DuckDuckGo"),
    browser("UCBrowser", "UC Browser"),
    browser("MiuiBrowser", "MIUI Browser"),
    browser("HuaweiBrowser", "Huawei Browser"),
    browser("Whale", "Whale"),
    browser("Silk", "Silk"),
    browser("GSA", "Google App"),
    browser("CriOS", "Chrome"),
    browser("Chromium", "Chromium"),
    browser("Chrome", "Chrome"),
    browser("FxiOS", "Firefox"),
    browser("Focus", "Firefox Focus"),
    browser("SeaMonkey", "SeaMonkey"),
    browser("PaleMoon", "Pale Moon"),
    browser("Thunderbird", "Thunderbird"),
    browser("Firefox", "Firefox"),
    browser("MSIE", "Internet Explorer"),
    versioned("Trident", "Internet Explorer", "rv"),
    browser("Konqueror", "Konqueror"),
    browser("Epiphany", "Epiphany"),
    versioned("Safari", "Safari", "Version"),
];

/// How the names of programs that go through the web by themselves end, or a word of them does, in lower case.
pub(super) const BOTS: &[&str] = &[
    "bot",
    "crawler",
    "spider",
    "slurp",
    "facebookexternalhit",
    "mediapartners",
    "bingpreview",
    "uptimerobot",
    "headlesschrome",
    "lighthouse",
    "archiver",
    "feedfetcher",
    "nuclei",
    "zgrab",
    "masscan",
    "censysinspect",
];

/// What a comment says of the system: how it begins, and the system's name.
pub(super) const SYSTEMS: &[(&str, &str)] = &[
    ("Windows Phone", "Windows Phone"),
    ("Windows NT", "Windows"),
    ("Windows", "Windows"),
    ("CPU iPhone OS", "iOS"),
    ("CPU OS", "iOS"),
    ("CPU like Mac OS X", "iOS"),
    ("iPhone", "iOS"),
    ("Intel Mac OS X", "macOS"),
    ("PPC Mac OS X", "macOS"),
    ("Macintosh", "macOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("KAIOS", "KaiOS"),
    ("HarmonyOS", "HarmonyOS"),
    ("Tizen", "Tizen"),
    ("Web0S", "webOS"),
    ("webOS", "webOS"),
    ("PlayStation", "PlayStation"),
    ("Xbox", "Xbox"),
    ("Nintendo", "Nintendo"),
    ("Ubuntu", "Linux"),
    ("Fedora", "Linux"),
    ("Linux", "Linux"),
    ("FreeBSD", "FreeBSD"),
    ("OpenBSD", "OpenBSD"),
    ("NetBSD", "NetBSD"),
    ("SunOS", "Solaris"),
];

/// Systems that another one's name stands beside, although it is not meant.
pub(super) const RATHER: &[(&str, &str)] = &[
    ("Linux", "Android"),
    ("Linux", "Tizen"),
    ("Linux", "webOS"),
    ("Linux", "HarmonyOS"),
    ("Android", "HarmonyOS"),
    ("macOS", "iOS"),
    ("Windows", "Xbox"),
    ("Android", "Windows Phone"),
];

/// Versions of Windows by those of its kernel. 11 says it is 10.
pub(super) const WINDOWS: &[(&str, &str)] =
    &[("10.0", "10"), ("6.3", "8.1"), ("6.2", "8"), ("6.1", "7"), ("6.0", "Vista"), ("5.2", "XP"), ("5.1", "XP"), ("5.0", "2000")];

/// What tells of a television.
pub(super) const TELEVISIONS: &[&str] =
    &["smart-tv", "smarttv", "appletv", "googletv", "bravia", "roku", "crkey", "web0s", "hbbtv", "aftt", "netcast", "android tv"];

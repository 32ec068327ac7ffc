-- What a browser says of itself, in three words: browser, version, operating system.
--
-- A short list of marks, tried in order; browsers name the ones they descend from, so the newest names
-- come first. Good enough to count with; not for telling every device apart.

local M = {}

-- { what is searched for, name, pattern of the version }
local BROWSERS = {
    { "Googlebot", "Googlebot" }, { "bingbot", "Bingbot" }, { "Slurp", "Yahoo! Slurp" }, { "Baiduspider", "Baiduspider" }, { "YandexBot", "YandexBot" },
    { "facebookexternalhit", "Facebook" }, { "[Bb]ot[/ ;)]", "Bot" }, { "[Cc]rawler", "Bot" }, { "[Ss]pider", "Bot" },
    { "Edge?A?/", "Edge", "Edge?A?/(%d+)" }, { "EdgiOS/", "Edge", "EdgiOS/(%d+)" }, { "OPR/", "Opera", "OPR/(%d+)" }, { "Opera", "Opera", "Version/(%d+)" },
    { "Vivaldi/", "Vivaldi", "Vivaldi/(%d+)" }, { "SamsungBrowser/", "Samsung Internet", "SamsungBrowser/(%d+)" }, { "YaBrowser/", "Yandex", "YaBrowser/(%d+)" },
    { "FxiOS/", "Firefox", "FxiOS/(%d+)" }, { "Focus/", "Firefox Focus", "Focus/(%d+)" }, { "SeaMonkey/", "SeaMonkey", "SeaMonkey/(%d+)" }, { "Firefox/", "Firefox", "Firefox/(%d+)" },
    { "CriOS/", "Chrome", "CriOS/(%d+)" }, { "HeadlessChrome/", "Headless Chrome", "HeadlessChrome/(%d+)" }, { "Chromium/", "Chromium", "Chromium/(%d+)" }, { "Chrome/", "Chrome", "Chrome/(%d+)" },
    { "Android.*Version/", "Android", "Version/(%d+)" }, { "Version/[%d.]+.*Safari/", "Safari", "Version/(%d+)" }, { "Safari/", "Safari" },
    { "MSIE ", "MSIE", "MSIE (%d+)" }, { "Trident/", "MSIE", "rv:(%d+)" },
    { "^curl/", "curl", "^curl/(%d+)" }, { "^Wget/", "Wget", "^Wget/(%d+)" }, { "^python%-requests/", "python-requests", "/(%d+)" }, { "^Go%-http%-client/", "Go", "/(%d+)" }, { "^okhttp/", "okhttp", "/(%d+)" },
}

local SYSTEMS = {
    { "Windows Phone", "Windows Phone" }, { "Windows NT 10", "Windows 10" }, { "Windows NT 6%.3", "Windows 8.1" }, { "Windows NT 6%.2", "Windows 8" }, { "Windows NT 6%.1", "Windows 7" },
    { "Windows NT 6%.0", "Windows Vista" }, { "Windows NT 5%.[12]", "Windows XP" }, { "Windows", "Windows" },
    { "iPhone", "iPhone" }, { "iPad", "iPad" }, { "iPod", "iPod" }, { "Mac OS X", "Macintosh" }, { "Macintosh", "Macintosh" },
    { "Android", "Android" }, { "CrOS", "ChromeOS" }, { "FreeBSD", "FreeBSD" }, { "Linux", "Linux" },
}

--- Browser, its main version (a number) and the operating system; nil for what is not known.
---@param text string
---@return string? browser
---@return integer? version
---@return string? os
function M.normalize(text)
    local browser, version, os
    for _, b in ipairs(BROWSERS) do
        if string.find(text, b[1]) then
            browser = b[2]
            version = b[3] and math.tointeger(tonumber(string.match(text, b[3])))
            break
        end
    end
    for _, s in ipairs(SYSTEMS) do
        if string.find(text, s[1]) then
            os = s[2]
            break
        end
    end
    return browser, version, os
end

--- Takes the field http_user_agent apart: adds user_agent_browser, user_agent_version and user_agent_os. The field
--- itself goes, unless `keep`, or `keep_unknown` and nothing in it was understood.
---@param fields table
---@param keep boolean
---@param keep_unknown boolean
function M.replace(fields, keep, keep_unknown)
    local text = fields.http_user_agent
    if not text then
        return
    end
    local browser, version, os = M.normalize(text)
    fields.user_agent_browser, fields.user_agent_version, fields.user_agent_os = browser, version, os
    local understood = browser or os
    if not keep and not (keep_unknown and not understood) then
        fields.http_user_agent = nil
    end
end

return M

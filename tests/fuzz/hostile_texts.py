"""Over 200 texts that attack what shows them: paths, pages, tables, spreadsheets, terminals, typesetting."""

from __future__ import annotations

CANARY = "window.hacked=1"
OUTSIDE = "http://canary.invalid"
"""An address that nobody may ask for."""

PATHS = (
    "../../x", "../../../etc/passwd", "..", ".", "/", "/etc/passwd", "//host/share", "\\\\host\\share", "..\\..\\x",
    "C:\\Windows\\win.ini", "C:x", "~/x", "~root", "a/b", "a\\b", "./x", "x/../../y", "file:///etc/passwd",
    "%2e%2e%2fx", "..%c0%afx", "..;/x", "CON", "NUL", "aux", "com1.txt", "LPT9", "CON.png", "x.", "x..", "x ", " x",
    "-rf", "--help", "-", "--", "-o/tmp/x", "*", "?", "x*?[a]", "a:b", "a|b", "a<b>c", 'a"b', "a'b", "a;b", "a&b",
    "a$b", "a`b`", "$HOME", "${HOME}", "$(id)", "`id`", "; rm -rf x", "| cat", "&& id", "x\0y", "x\0.png", "x" * 255,
    "x" * 256, "/" * 4000, ".git", ".gitignore", ".htaccess", "manifest.json", "SHA256SUMS", "store", "reference",
    "Thumbs.db", "desktop.ini",
)  # fmt: skip
PAGES = (
    f"<script>{CANARY}</script>", f"</script><script>{CANARY}</script>", f"</style><script>{CANARY}</script>",
    f"--><script>{CANARY}</script>", f"<!--<script>{CANARY}", "<!--", "-->", "]]>", f'"><img src=x onerror={CANARY}>',
    f"'><svg onload={CANARY}>", f'"onmouseover="{CANARY}', f"'onfocus='{CANARY}' autofocus='", f" onclick={CANARY} ",
    f"<img src={OUTSIDE}/p.png>", f"<link rel=stylesheet href={OUTSIDE}/s.css>", f"<iframe src={OUTSIDE}>",
    f"<base href={OUTSIDE}>", f"<meta http-equiv=refresh content='0;url={OUTSIDE}'>", f"<object data={OUTSIDE}>",
    f"<form action={OUTSIDE}><input autofocus>", f"<a href=javascript:{CANARY}>x</a>", f"<style>@import '{OUTSIDE}'",
    f"<math><mtext><script>{CANARY}</script>", f"<svg><animate onbegin={CANARY} attributeName=x>",
    f"<details open ontoggle={CANARY}>", f"<video><source onerror={CANARY}>", f"javascript:{CANARY}",
    f"data:text/html,<script>{CANARY}</script>", "data:image/svg+xml;base64,PHN2Zz4=", "vbscript:x",
    "&#x3c;script&#x3e;", "&lt;script&gt;", "&amp;lt;", "&#60;", "&#x0;", "&nbsp;", "&", "&;", "{{7*7}}", "{{ 7*7 }}",
    "${7*7}", "#{7*7}", "{% raw %}", "{% include 'script.js' %}", "{# x #}", "{{ self.__init__.__globals__ }}",
    "${x}", "<%= 7*7 %>", "{{'a'|safe}}", "%0a", "%00", "%3Cscript%3E", "\\u003cscript\\u003e", "\\x3cscript\\x3e",
    "+ADw-script+AD4-", "expression(alert(1))", f"url({OUTSIDE})", f"--v:0;background:url({OUTSIDE}/b)", "__proto__",
    "constructor", "toString", "id", "name", "<a", "</td></tr></table>",
)  # fmt: skip
SHEETS = (
    "=cmd|' /C calc'!A0", "+1+1", "-1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1)", "=1", " =1", "  +1", "\t=1", "\r=1",
    "\n=1", '=HYPERLINK("http://canary.invalid")', "=WEBSERVICE(A1)", "=IMPORTXML(A1)", "=DDE()", "\uff1d1",
    "\uff0b1", "\uff0d1", "\uff201", "'=1", "''=1", "'x", "' =1", '"', '""', '","', ",", ",,", 'a,b"c', ";=1", "a\nb",
    "a\r\nb", "a\rb", "a\tb", "1", "-1", "1e9", "1,5", "NaN", "inf", "None", "null", "true", "", " ", "0x10", "00123",
    "1/2", "2026-01-01", "#REF!", "%=1",
)  # fmt: skip
MARKUP = (
    "`code`", "``", "```", "~~~", "| --- |", "|", "a|b|c", "\\|", "\\", "\\\\", f"[x](javascript:{CANARY})",
    f"![x]({OUTSIDE}/y.png)", f"<{OUTSIDE}>", OUTSIDE, "www.canary.invalid", "me@canary.invalid",
    "mailto:me@canary.invalid", "@somebody", "#123", "# x", "## x", "> x", "- x", "+ x", "* x", "1. x", "1) x", "***",
    "---", "===", "___", "**x**", "*x*", "_x_", "__x__", "~~x~~", "    x", "[x]: y", "[^1]", "- [ ] x", "$x$",
    "$$x$$", "x\\", "&copy;", ":smile:", "<br>", "[[x]]", "{x}", "^x^", "==x==", "\\input{/etc/passwd}",
    "\\write18{id}", "\\immediate\\write18{id}", "\\openin5=x", "\\def\\x{\\x}\\x", "\\loop\\iftrue\\repeat",
    "\\end{tabular}", "\\end{document}", "\\newpage", "\\%", "%", "% x", "$", "#", "_", "{", "}", "~", "^", "^^5c",
    "^^M", "&&", "\\\\[1cm]", "\\csname x\\endcsname", "}\\x{", "\\verb|x|", "--", "---", "``x''", "!`", "?`",
    "<<x>>", ",,x", "[x]", "*", "\\lstinputlisting{x}",
)  # fmt: skip
TERMINALS = (
    "\x1b[31mred", "\x1b[2J", "\x1b[H", "\x1b[1A\x1b[2K", "\x1b]0;title\x07", "\x1b]2;title\x1b\\",
    "\x1b]8;;http://canary.invalid\x07x\x1b]8;;\x07", "\x1b]52;c;aGk=\x07", "\x1b]50;x\x07", "\x1bP+q544e\x1b\\",
    "\x1b[6n", "\x1b[c", "\x1b[5i", "\x1bc", "\x1b(0", "\x1b[?1049h", "\x1b", "\x9b31m", "\x9d0;x\x9c", "\x90x\x9c",
    "\x84", "\x85", "\x8d", "\x07", "\x08\x08\x08", "\x0b", "\x0c", "\x0e", "\x0f", "\x7f", "\r", "\rfake", "\n",
    "a\n\nb", "\u202egnp.exe", "\u202d", "\u202a\u202c", "\u2066x\u2069", "\u2067", "\u200e", "\u200f", "\u061c",
    "\u200b", "\u200c", "a\u200db", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u115f", "\u3164", "\u2800", "\u180e",
    "\ufff9x\ufffax\ufffb", "a\u2028b", "a\u2029b", "a\u0085b", "\U000e0041\U000e007f", "\ufe00", "\U000e0100",
    "\ue000", "\uffff", "\ufdd0", "\ud800", "\udfff", "x\udc80y", "\U0001f469\u200d\u2695\ufe0f",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "\u0430dmin", "m\u0435l",
    "\u13aca", "\uff41\uff42", "\u212b", "\u00e9", "e\u0301", "a" + "\u0301" * 1000, "\u0e01" + "\u0e47" * 500,
    "\u20dd" * 100, "\u4e2d\u6587" * 300, "\u05d0\u05d1\u05d2", "\u0627\u0644", "x" * 100_000, "\u0301",
    "\x1b" * 1000, "=" * 5000, "a b" * 5000, "../" * 3000, "\\" * 3000, "'/" + "a/" * 20_000,
)  # fmt: skip

TEXTS = tuple(dict.fromkeys((*PATHS, *PAGES, *SHEETS, *MARKUP, *TERMINALS)))

"""What English signs, units and short forms are called.

Knows: words. Does not know: where they stand in a text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MONTHS: Final = ("January February March April May June July August September October November December").split()
SHORT_MONTHS: Final = "Jan Feb Mar Apr May Jun Jul Aug Sept Sep Oct Nov Dec".split()
SHORT_DAYS: Final[Mapping[str, str]] = {
    "Mon": "Monday", "Tues": "Tuesday", "Tue": "Tuesday", "Wed": "Wednesday", "Thurs": "Thursday", "Thur": "Thursday",
    "Thu": "Thursday", "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday",
}  # fmt: skip


def month(name: str) -> int:
    """1 to 12, of a full or short name."""
    return next(i for i, full in enumerate(MONTHS, 1) if full.startswith(name[:3].title()))


def _meters(prefixes: str, short: str, word: str) -> dict[str, tuple[str, str]]:
    names = {
        "k": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta", "c": "centi", "m": "milli", "µ": "micro",
        "μ": "micro", "n": "nano", "h": "hecto", "d": "deci", " ": "",
    }  # fmt: skip
    return {f"{prefix}{short}".strip(): (f"{names[prefix]}{word}", f"{names[prefix]}{word}s") for prefix in prefixes}


UNITS: Final[Mapping[str, tuple[str, str]]] = {
    **_meters(" kcdmµμn", "m", "meter"), **_meters(" kmµμ", "g", "gram"), **_meters(" mcdh", "l", "liter"),
    **_meters(" m", "L", "liter"), **_meters(" mµμn", "s", "second"), **_meters("kMGTP", "B", "byte"),
    **_meters(" kMGT", "W", "watt"), **_meters(" mk", "V", "volt"), **_meters("m", "A", "amp"),
    **_meters(" kM", "J", "joule"), **_meters(" kMh", "Pa", "pascal"), **_meters(" kM", "Ω", "ohm"),
    "kb": ("kilobit", "kilobits"), "KB": ("kilobyte", "kilobytes"), "KiB": ("kibibyte", "kibibytes"),
    "MiB": ("mebibyte", "mebibytes"), "GiB": ("gibibyte", "gibibytes"), "TiB": ("tebibyte", "tebibytes"),
    "kbps": ("kilobit per second", "kilobits per second"), "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"), "Mbit/s": ("megabit per second", "megabits per second"),
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"), "dB": ("decibel", "decibels"), "mAh": ("milliamp hour", "milliamp hours"),
    "Wh": ("watt hour", "watt hours"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "min": ("minute", "minutes"), "mins": ("minute", "minutes"), "sec": ("second", "seconds"),
    "secs": ("second", "seconds"), "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"),
    "mi": ("mile", "miles"), "yd": ("yard", "yards"), "ft": ("foot", "feet"), "in": ("inch", "inches"),
    "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces"), "gal": ("gallon", "gallons"),
    "tsp": ("teaspoon", "teaspoons"), "tbsp": ("tablespoon", "tablespoons"), "qt": ("quart", "quarts"),
    "km/h": ("kilometer per hour", "kilometers per hour"), "kmh": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"), "kmph": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"), "m/s²": ("meter per second squared", "meters per second squared"),
    "mph": ("mile per hour", "miles per hour"), "mpg": ("mile per gallon", "miles per gallon"),
    "rpm": ("revolution per minute", "revolutions per minute"), "fps": ("frame per second", "frames per second"),
    "bpm": ("beat per minute", "beats per minute"), "ppm": ("part per million", "parts per million"),
    "KB/s": ("kilobyte per second", "kilobytes per second"), "MB/s": ("megabyte per second", "megabytes per second"),
    "GB/s": ("gigabyte per second", "gigabytes per second"),
    "kg/m³": ("kilogram per cubic meter", "kilograms per cubic meter"),
    "g/cm³": ("gram per cubic centimeter", "grams per cubic centimeter"),
    "mg/dL": ("milligram per deciliter", "milligrams per deciliter"),
    "m²": ("square meter", "square meters"), "m2": ("square meter", "square meters"),
    "km²": ("square kilometer", "square kilometers"), "cm²": ("square centimeter", "square centimeters"),
    "ft²": ("square foot", "square feet"), "sq ft": ("square foot", "square feet"),
    "sqft": ("square foot", "square feet"),
    "m³": ("cubic meter", "cubic meters"), "cm³": ("cubic centimeter", "cubic centimeters"),
    "ha": ("hectare", "hectares"), "cal": ("calorie", "calories"), "kcal": ("kilocalorie", "kilocalories"),
    "px": ("pixel", "pixels"), "psi": ("PSI", "PSI"), "mmHg": ("millimeter of mercury", "millimeters of mercury"),
    "°C": ("degree Celsius", "degrees Celsius"), "°F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "°": ("degree", "degrees"), "eV": ("electron volt", "electron volts"),
}  # fmt: skip
GLUED_ONLY: Final = frozenset({"in", "h", "cal", "hl", "dl", "J", "V"})
"""Units that are words or letters too: only right behind the digits."""

CURRENCIES: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "$": ("dollar", "dollars", "cent", "cents"), "US$": ("U.S. dollar", "U.S. dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"), "£": ("pound", "pounds", "penny", "pence"),
    "₹": ("rupee", "rupees", "paisa", "paise"), "¥": ("yen", "yen", "sen", "sen"), "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopek", "kopeks"), "₺": ("lira", "lira", "kurus", "kurus"),
    "₿": ("bitcoin", "bitcoins", "", ""),
    "CHF": ("Swiss franc", "Swiss francs", "centime", "centimes"),
}  # fmt: skip
CURRENCY_CODES: Final[Mapping[str, str]] = {
    "USD": "$", "EUR": "€", "GBP": "£", "INR": "₹", "JPY": "¥", "CHF": "CHF", "Rs": "₹", "Rs.": "₹", "CAD": "C$",
    "AUD": "A$",
}  # fmt: skip
SCALES: Final[Mapping[str, str]] = {
    "k": "thousand", "K": "thousand", "m": "million", "M": "million", "mn": "million", "b": "billion", "B": "billion",
    "bn": "billion", "T": "trillion", "tn": "trillion", "L": "lakh", "Cr": "crore", "cr": "crore",
    **{word: word for word in "hundred thousand million billion trillion lakh lakhs crore crores".split()},
}  # fmt: skip
PER: Final[Mapping[str, str]] = {
    "h": "hour", "hr": "hour", "mo": "month", "yr": "year", "wk": "week", "d": "day", "min": "minute", "s": "second",
    "sec": "second", "kg": "kilogram", "g": "gram", "lb": "pound", "l": "liter", "L": "liter", "km": "kilometer",
    "m": "meter", "GB": "gigabyte", "MB": "megabyte", "kWh": "kilowatt hour", "oz": "ounce", "m²": "square meter",
}  # fmt: skip

BEFORE_NAMES: Final[Mapping[str, str]] = {
    "Dr": "Doctor", "Mr": "Mister", "Mrs": "Missus", "Ms": "Miz", "Prof": "Professor", "St": "Saint", "Mt": "Mount",
    "Ft": "Fort", "Gov": "Governor", "Gen": "General", "Sen": "Senator", "Rep": "Representative", "Capt": "Captain",
    "Sgt": "Sergeant", "Lt": "Lieutenant", "Col": "Colonel", "Cpl": "Corporal", "Maj": "Major", "Rev": "Reverend",
    "Hon": "Honorable", "Pres": "President", "Supt": "Superintendent",
}  # fmt: skip
BARE_BEFORE_NAMES: Final = frozenset({"Dr", "Mr", "Mrs", "Ms", "Prof", "St", "Mt", "Capt", "Sgt", "Lt"})
"""Also written without a full stop."""
BEHIND_NAMES: Final[Mapping[str, str]] = {
    "St": "Street", "Dr": "Drive", "Ave": "Avenue", "Rd": "Road", "Blvd": "Boulevard", "Ln": "Lane", "Ct": "Court",
    "Hwy": "Highway", "Pkwy": "Parkway", "Sq": "Square", "Apt": "Apartment", "Jr": "Junior", "Sr": "Senior",
    "Inc": "Incorporated", "Ltd": "Limited", "Co": "Company", "Corp": "Corporation", "Bros": "Brothers",
}  # fmt: skip
BEFORE_NUMBERS: Final[Mapping[str, str]] = {
    "no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "ch": "chapter", "vol": "volume", "p": "page",
    "pp": "pages", "pg": "page", "sec": "section", "eq": "equation", "art": "article", "ver": "version", "v": "version",
    "ext": "extension", "apt": "apartment", "para": "paragraph", "ed": "edition", "rm": "room",
    "approx": "approximately",
    "tel": "telephone", "ca": "circa", "c": "circa",
}  # fmt: skip
ANYWHERE: Final[Mapping[str, str]] = {
    "e.g": "for example", "eg": "for example", "i.e": "that is", "ie": "that is", "etc": "et cetra", "vs": "versus",
    "approx": "approximately", "dept": "department", "govt": "government", "est": "established", "min": "minimum",
    "max": "maximum", "avg": "average", "temp": "temperature", "incl": "including", "excl": "excluding",
    "misc": "miscellaneous",
    "a.k.a": "also known as", "w.r.t": "with respect to", "et al": "et al", "ext": "extension", "tel": "telephone",
    "cf": "compare",
    "viz": "namely", "resp": "respectively", "appt": "appointment", "asst": "assistant", "assn": "association",
    "univ": "university",
    "Jan": "January", "Feb": "February", "Mar": "March", "Apr": "April", "Jun": "June", "Jul": "July", "Aug": "August",
    "Sept": "September", "Sep": "September", "Oct": "October", "Nov": "November", "Dec": "December",
    "Mon": "Monday", "Tue": "Tuesday", "Tues": "Tuesday", "Wed": "Wednesday", "Thu": "Thursday", "Thurs": "Thursday",
    "Fri": "Friday", "Sat": "Saturday", "Sun": "Sunday", "Ph.D": "PHD", "M.D": "MD", "B.A": "BA", "M.A": "MA",
    "B.Sc": "BSC", "M.Sc": "MSC",
    "B.Tech": "B Tech",
    "a.m": "AM", "p.m": "PM", "A.M": "AM", "P.M": "PM",
}  # fmt: skip
"""With a full stop behind them."""
ACRONYMS: Final[Mapping[str, str]] = {
    "JSON": "Jason", "README": "read me", "YAML": "yammel", "CUDA": "kooda", "WAV": "wave", "ISRO": "isro",
    "AIIMS": "aims", "GAN": "gan",
    "GANs": "gans", "AWS": "A.W.S.", "IST": "I.S.T.", "SQLite": "SQ lite", "PAN": "pan",
    "TOML": "tommel",
    "UNHCR": "UNHCR", "NVIDIA": "en vidia", "ONNX": "onnix", "DRDO": "D.R.D.O.", "ASEAN": "asean",
    "SAARC": "sark", "BRICS": "bricks",
    "NITI": "neeti", "NEET": "neet", "AFAIK": "as far as I know", "IIRC": "if I recall correctly",
    "TL;DR": "too long, didn't read",
    "w/": "with", "w/o": "without", "b/c": "because", "N/A": "not applicable", "n/a": "not applicable",
    "and/or": "and or",
    "A/C": "AC", "24/7": "twenty-four seven", "24x7": "twenty-four seven", "24×7": "twenty-four seven",
    "9/11": "nine eleven", "50/50": "fifty fifty", "20/20": "twenty twenty",
    "C++": "C plus plus", "C#": "C sharp", "F#": "F sharp", ".NET": "dot net", "R&D": "R and D", "Q&A": "Q and eh",
    "B2B": "B to B",
    "B2C": "B to C", "P2P": "P to P", "H2O": "H two O", "CO2": "C O two", "CO₂": "C O two", "H₂O": "H two O",
    "AT&T": "AT and T",
    "4x4": "four by four", "i18n": "I eighteen N", "k8s": "Kubernetes", "&c": "et cetra", "I/O": "IO",
    "LaTeX": "lay tech",
    "OAuth": "oh auth", "k/o": "kay oh", "PhD": "PHD", "PhDs": "PHDs", "Wi-Fi": "Wi-Fi",
    "COVID-19": "COVID nineteen",
}  # fmt: skip
"""What is not read as its letters say: the reader of phonemes spells capitals that are no word by itself."""
REGNAL: Final = frozenset(
    "Henry Edward George Richard William James Charles Elizabeth Mary Louis Philip Peter Catherine Alexander "
    "Nicholas Paul John Pius Benedict Gregory Leo Clement Innocent Urban Boniface Friedrich Frederick "
    "Wilhelm Ferdinand Francis Napoleon Ivan Carlos Felipe Juan Victor Ramses Ramesses Ptolemy Cleopatra "
    "Darius Xerxes Harald Olaf Christian Gustav Akbar Bahadur".split()
)
"""Names of rulers: the number behind them is an ordinal."""
VERSIONED: Final = frozenset(
    "Python python Node Java PHP Ruby Go Rust CUDA Ubuntu Debian Fedora iOS Android macOS Windows Chrome "
    "Firefox version Version PyTorch TensorFlow Kubernetes Docker Postgres PostgreSQL MySQL Redis Linux "
    "kernel Django React Angular Kokoro Qwen Llama Gemini Claude GPT release Release Swift Kotlin Blender "
    "Unity".split()
)
"""Behind them stands no decimal number: Python 3.11 is "three point eleven"."""
NUMBERED: Final = (
    "Boeing",
    "Airbus",
    "Flight",
    "flight",
    "Route",
    "Room",
    "room",
    "Highway",
    "Interstate",
    "Porsche",
    "Area",
    "Gate",
)
"""The number behind them is a name: seven forty-seven."""
SYMBOLS: Final[Mapping[str, str]] = {
    "&": "and", "@": "at", "+": "plus", "=": "equals", "×": "times", "÷": "divided by", "√": "the square root of",
    "≤": "less than or equal to",
    "≥": "greater than or equal to", "≠": "is not equal to", "≈": "approximately", "±": "plus or minus",
    "∞": "infinity", "π": "pi",
    "°": "degrees", "§": "section", "©": "copyright", "%": "percent", "‰": "per mille", "→": "to", "⇒": "implies",
    "↔": "to",
    "²": "squared", "³": "cubed", "∑": "sum", "∫": "integral", "∂": "partial", "∆": "delta", "∈": "in", "α": "alpha",
    "β": "beta",
    "γ": "gamma", "δ": "delta", "Δ": "delta", "ε": "epsilon", "θ": "theta", "λ": "lambda", "μ": "mu", "µ": "micro",
    "ρ": "rho",
    "σ": "sigma", "Σ": "sigma", "τ": "tau", "φ": "phi", "ω": "omega", "Ω": "omega", "€": "euros", "£": "pounds",
    "₹": "rupees",
    "¥": "yen", "¢": "cents", "−": "minus", "⋅": "times", "★": "stars", "⭐": "stars",
}  # fmt: skip
FRACTIONS: Final[Mapping[str, tuple[int, int]]] = {
    "½": (1, 2), "⅓": (1, 3), "⅔": (2, 3), "¼": (1, 4), "¾": (3, 4), "⅕": (1, 5), "⅖": (2, 5), "⅗": (3, 5),
    "⅘": (4, 5), "⅙": (1, 6),
    "⅚": (5, 6), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8), "⅞": (7, 8),
}  # fmt: skip
FILE_ENDINGS: Final[Mapping[str, str]] = {
    "md": "MD", "txt": "text", "json": "Jason", "yaml": "yammel", "yml": "YML", "wav": "wave", "js": "JS",
    "ts": "TS", "py": "pie",
    "sh": "SH", "toml": "tommel", "csv": "CSV", "html": "HTML", "css": "CSS", "pdf": "PDF", "png": "PNG",
    "mp3": "MP three",
    "io": "IO", "ai": "AI", "uk": "UK", "de": "DE", "us": "US", "in": "in", "tv": "TV", "jpg": "jay peg",
    "xml": "XML", "rs": "RS",
    "cpp": "CPP", "gguf": "GGUF", "onnx": "onnix", "exe": "EXE", "dll": "DLL", "sql": "sequel", "db": "DB",
    "gz": "GZ", "zip": "zip",
    "ini": "INI", "eu": "EU", "fr": "FR", "it": "IT", "es": "ES", "pt": "PT", "jp": "JP", "cn": "CN",
    "ipynb": "IPYNB", "xyz": "XYZ",
    "svg": "SVG", "xlsx": "XLSX", "docx": "doc X", "pptx": "PPTX", "mp4": "MP four", "jpeg": "jay peg",
    "cfg": "config", "conf": "conf",
}  # fmt: skip
FILE_NAMES: Final[Mapping[str, str]] = {
    "src": "source", "usr": "user", "tmp": "temp", "readme": "read me", "pyproject": "pie project", "ctrl": "control",
    "cmd": "command", "img": "image", "msg": "message", "pkg": "package", "db": "DB",
}  # fmt: skip

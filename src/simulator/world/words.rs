//! The vocabulary of the world's texts: invented, but shaped like what people write.

/// Parts of handles.
pub(super) const NAMES: [&str; 24] = [
    "ania", "salon", "mike", "daily", "glow", "kitchen", "omar", "vibes", "luna", "studio", "pets", "travel", "chef",
    "fit", "mama", "garage", "noor", "style", "garden", "games", "theo", "crafts", "sofia", "deals",
];

/// Openings of descriptions, in several scripts and directions.
pub(super) const SENTENCES: [&str; 18] = [
    "wait for the end 😂",
    "New in my shop! Link in bio 🛒✨",
    "how I clean this in 5 minutes",
    "POV: your cat runs the house 🐈‍⬛",
    "“You won’t believe it” — she said",
    "أفضل طريقة لتحضير القهوة ☕",
    "מתכון מהיר לארוחת ערב",
    "今日のおすすめコーデ👗",
    "Спасибо за 10к подписчиков ❤️",
    "three things nobody tells you\nabout moving abroad",
    "Ein Tag in Köln – schön wär's",
    "para ti 💃🏽 duo con @luna.vibes",
    "C:\\temp\\video \"final\" (2).mp4",
    "restock restock RESTOCK!!!",
    "family first 👨‍👩‍👧‍👦",
    "½ price today / 50% off",
    "ขอบคุณที่ติดตาม 🙏",
    "tell me in the comments ⬇️",
];

/// Hashtags.
pub(super) const TAGS: [&str; 14] = [
    "#fyp",
    "#foryou",
    "#viral",
    "#tiktokmademebuyit",
    "#beauty",
    "#حلويات",
    "#おすすめ",
    "#diy",
    "#smallbusiness",
    "#cats",
    "#recipe",
    "#ootd",
    "#трэнд",
    "#gym",
];

/// Product categories: id and name.
pub(super) const CATEGORIES: [(&str, &str); 10] = [
    ("601450", "Beauty & Personal Care"),
    ("601152", "Womenswear & Underwear"),
    ("700645", "Food & Beverages"),
    ("600001", "Home Supplies"),
    ("601739", "Phones & Electronics"),
    ("602118", "Pet Supplies"),
    ("603014", "Sports & Outdoor"),
    ("604206", "Toys & Hobbies"),
    ("605196", "Automotive & Motorcycle"),
    ("700437", "Health"),
];

/// Width, height and ratio of videos.
pub(super) const SHAPES: [(&str, &str, &str); 6] = [
    ("720", "1280", "720p"),
    ("720", "1280", "720p"),
    ("576", "1024", "540p"),
    ("1080", "1920", "1080p"),
    ("1280", "720", "720p"),
    ("540", "960", "540p"),
];

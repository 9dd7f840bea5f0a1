"""Knows binary formats by their first bytes: which are media, which are records, which hold nothing of these."""

from __future__ import annotations

from dataclasses import dataclass

_STILL = frozenset(
    (
        "heic",
        "heix",
        "heim",
        "heis",
        "mif1",
        "msf1",
        "avif",
        "avis",
        "miaf",
        "hevc",
        "hevx",
        "hevm",
        "jxl ",
        "crx ",
        "jp2 ",
        "jpx ",
        "jpm ",
    )
)


@dataclass(frozen=True, slots=True)
class Known:
    """A format told by its first bytes.

    Attributes:
        format: its name.
        kind: `media` (look for tracks), `fact` (the format itself says what it is), `plain` (holds none of the
            categories) or `opaque` (could hold anything, and we cannot read it).
    """

    format: str
    kind: str


def _at(offset: int, magic: bytes, form: str, kind: str) -> tuple[int, bytes, Known]:
    return offset, magic, Known(form, kind)


_MAGIC = (
    # sound and moving pictures
    _at(0, b"fLaC", "flac", "sound"),
    _at(0, b"OggS", "ogg", "media"),
    _at(0, b"ID3", "mp3", "media"),
    _at(0, b"\x1aE\xdf\xa3", "matroska", "media"),
    _at(0, b"FLV\x01", "flv", "media"),
    _at(0, b"\x00\x00\x01\xba", "mpeg-ps", "media"),
    _at(0, b"\x00\x00\x01\xb3", "mpeg-video", "media"),
    _at(0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf", "media"),
    _at(0, b".RMF", "realmedia", "media"),
    _at(0, b".ra\xfd", "realaudio", "sound"),
    _at(0, b"#!AMR", "amr", "sound"),
    _at(0, b"caff", "caf", "sound"),
    _at(0, b".snd", "au", "sound"),
    _at(0, b"NIST_1A\n", "nist-sphere", "sound"),
    _at(0, b"MAC ", "ape", "sound"),
    _at(0, b"wvpk", "wavpack", "sound"),
    _at(0, b"TTA1", "tta", "sound"),
    _at(0, b"MPCK", "musepack", "sound"),
    _at(0, b"MP+", "musepack", "sound"),
    _at(0, b"DSD ", "dsf", "sound"),
    _at(0, b"FRM8", "dsdiff", "sound"),
    _at(0, b"Creative Voice File", "voc", "sound"),
    _at(0, b"riff\x2e\x91\xcf\x11", "w64", "sound"),
    _at(0, b"TWIN", "vqf", "sound"),
    _at(0, b"ajkg", "shorten", "sound"),
    _at(0, b"tBaK", "tak", "sound"),
    _at(0, b"OFR ", "optimfrog", "sound"),
    _at(0, b"LA02", "lossless-audio", "sound"),
    _at(0, b"\x0b\x77", "ac3", "media"),
    _at(0, b"IMPM", "impulse-tracker", "sound"),
    _at(0, b"Extended Module: ", "xm-module", "sound"),
    _at(44, b"SCRM", "s3m-module", "sound"),
    _at(1080, b"M.K.", "mod-module", "sound"),
    _at(4, b"\x57\x90\x75\x36", "audible", "sound"),
    _at(0, b"DKIF", "ivf", "media"),
    _at(0, b"YUV4MPEG2", "yuv4mpeg", "picture"),
    _at(0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01", "mxf", "media"),
    _at(0, b"nut/multimedia container", "nut", "media"),
    _at(0, b"BIK", "bink", "media"),
    _at(0, b"SMK", "smacker", "media"),
    _at(0, b"\x00\x00\x00\x01\x67", "h264", "picture"),
    _at(0, b"\x00\x00\x00\x01\x27", "h264", "picture"),
    _at(0, b"\x00\x00\x00\x01\x40\x01", "hevc", "picture"),
    _at(0, b"DVDVIDEO-", "dvd-index", "plain"),
    # records
    _at(128, b"DICM", "dicom", "fact"),
    _at(8, b".FIT", "fit", "fact"),
    _at(0, b"ElfFile\0", "evtx", "fact"),
    _at(0, b"LPKSHHRH", "journal", "fact"),
    _at(0, b"PERFILE2", "perf-data", "fact"),
    _at(0, b"MDF     ", "mdf", "fact"),
    _at(0, b"#ROSBAG V", "rosbag", "fact"),
    _at(0, b"\x89MCAP0\r\n", "mcap", "fact"),
    _at(0, b"ULog\x01\x12\x35", "ulog", "fact"),
    _at(0, b"\xa3\x95\x80\x80", "dataflash", "fact"),
    _at(0, b"LOGG", "blf", "fact"),
    _at(0, b"BAM\x01", "bam", "opaque"),
    # nothing of these
    _at(0, b"\xff\xd8\xff", "jpeg", "plain"),
    _at(0, b"\x89PNG\r\n\x1a\n", "png", "plain"),
    _at(0, b"\x8bJNG", "jng", "plain"),
    _at(0, b"GIF87a", "gif", "plain"),
    _at(0, b"GIF89a", "gif", "plain"),
    _at(0, b"II*\0", "tiff", "plain"),
    _at(0, b"MM\0*", "tiff", "plain"),
    _at(0, b"II+\0", "bigtiff", "plain"),
    _at(0, b"IIRO", "orf", "plain"),
    _at(0, b"IIU\0", "rw2", "plain"),
    _at(0, b"FUJIFILM", "raf", "plain"),
    _at(0, b"8BPS", "psd", "plain"),
    _at(0, b"gimp xcf", "xcf", "plain"),
    _at(0, b"\0\0\x01\0", "ico", "plain"),
    _at(0, b"\0\0\x02\0", "cur", "plain"),
    _at(0, b"icns", "icns", "plain"),
    _at(0, b"\xff\x0a", "jxl", "plain"),
    _at(0, b"\0\0\0\x0cJXL ", "jxl", "plain"),
    _at(0, b"\0\0\0\x0cjP  ", "jpeg2000", "plain"),
    _at(0, b"\xff\x4f\xff\x51", "jpeg2000", "plain"),
    _at(0, b"II\xbc", "jxr", "plain"),
    _at(0, b"BPG\xfb", "bpg", "plain"),
    _at(0, b"FLIF", "flif", "plain"),
    _at(0, b"qoif", "qoi", "plain"),
    _at(0, b"DDS ", "dds", "plain"),
    _at(0, b"v/1\x01", "exr", "plain"),
    _at(0, b"\xabKTX", "ktx", "plain"),
    _at(0, b"SIMPLE  =", "fits", "plain"),
    _at(0, b"AT&TFORM", "djvu", "plain"),
    _at(0, b"wOFF", "woff", "plain"),
    _at(0, b"wOF2", "woff2", "plain"),
    _at(0, b"\0\x01\0\0\0", "ttf", "plain"),
    _at(0, b"OTTO", "otf", "plain"),
    _at(0, b"ttcf", "ttc", "plain"),
    _at(0, b"\x7fELF", "elf", "plain"),
    _at(0, b"MZ", "exe", "plain"),
    _at(0, b"\xca\xfe\xba\xbe", "class", "plain"),
    _at(0, b"\xcf\xfa\xed\xfe", "macho", "plain"),
    _at(0, b"\xfe\xed\xfa", "macho", "plain"),
    _at(0, b"\0asm", "wasm", "plain"),
    _at(0, b"BC\xc0\xde", "llvm-bitcode", "plain"),
    _at(0, b"Cr24", "crx", "plain"),
    _at(0, b"dex\n", "dex", "plain"),
    _at(0, b"glTF", "gltf", "plain"),
    _at(0, b"BLENDER", "blender", "plain"),
    _at(0, b"solid ", "stl", "text"),
    _at(0, b"GRIB", "grib", "plain"),
    _at(0, b"\0\0\x27\x0a", "shapefile", "plain"),
    _at(0, b"MThd", "midi", "plain"),
    _at(0, b"TZif", "tzif", "plain"),
    _at(0, b"\xde\x12\x04\x95", "gettext", "plain"),
    _at(0, b"ISc(", "cab", "opaque"),
    _at(0, b"MSCF", "cab", "opaque"),
    _at(0, b"Rar!\x1a\x07", "rar", "opaque"),
    _at(0, b"7z\xbc\xaf\x27\x1c", "7z", "opaque"),
    _at(0, b"\x04\x22\x4d\x18", "lz4", "opaque"),
    _at(0, b"LZIP", "lzip", "opaque"),
    _at(0, b"\x1f\x9d", "compress", "opaque"),
    _at(0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "ole2", "opaque"),
    _at(0, b"%PDF-", "pdf", "pdf"),
    _at(0, b"\x89HDF\r\n", "hdf5", "opaque"),
    _at(0, b"CDF\x01", "netcdf", "opaque"),
    _at(0, b"CDF\x02", "netcdf", "opaque"),
    _at(0, b"\x93NUMPY", "npy", "opaque"),
    _at(0, b"PARE", "encrypted-parquet", "opaque"),
    _at(0, b"\xd4\xc3\xb2\xa1", "pcap", "opaque"),
    _at(0, b"\xa1\xb2\xc3\xd4", "pcap", "opaque"),
    _at(0, b"\x0a\x0d\x0d\x0a", "pcapng", "opaque"),
)


def known_binary(head: bytes) -> Known | None:
    """Return what `head` begins, `None` when its first bytes say nothing."""
    if box := _iso_box(head):
        return box
    if riff := _riff(head):
        return riff
    for offset, magic, known in _MAGIC:
        if head.startswith(magic, offset):
            return known
    if head[:1] == b"\x47" and head[:565:188].count(b"\x47") >= min(3, (len(head) + 187) // 188) and len(head) > 376:
        return Known("mpeg-ts", "media")
    if len(head) > 580 and head[4:772:192] == b"\x47\x47\x47\x47":
        return Known("m2ts", "media")
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return Known("bmp", "plain")
    if head[:8] in (b"0       ", b"\xffBIOSEMI") and head[168:176].replace(b".", b"").strip().isdigit():
        return Known("edf", "fact")
    return _mpeg_audio(head)


def _iso_box(head: bytes) -> Known | None:
    kind = head[4:8]
    if kind in (b"ftyp", b"styp"):
        brand = head[8:12].decode("latin-1")
        return Known("heif" if brand.lower() in _STILL else "mp4", "plain" if brand.lower() in _STILL else "media")
    size = int.from_bytes(head[:4], "big")
    if kind in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"sidx") and (size == 1 or size >= 8):
        return Known("mov", "media")
    return None


def _riff(head: bytes) -> Known | None:
    if head[:4] in (b"RIFF", b"RIFX", b"RF64"):
        form = head[8:12]
        if form == b"WEBP":
            return Known("webp", "plain")
        if form == b"WAVE" or form == b"QLCM":
            return Known("wav" if form == b"WAVE" else "qcp", "sound")
        if form == b"AVI ":
            return Known("avi", "media")
        return Known("ani", "plain") if form == b"ACON" else Known("riff", "opaque")
    if head[:4] == b"FORM":
        return Known("aiff", "sound") if head[8:12] in (b"AIFF", b"AIFC", b"8SVX") else Known("iff", "plain")
    return None


def _mpeg_audio(head: bytes) -> Known | None:
    """Two bytes of sync say little; the next frame standing where the first one ends says much."""
    if len(head) < 200 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:  # ADTS
        size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
        same = head[size : size + 2] == head[:2]
        return Known("aac", "media") if size > 7 and same else None
    return Known("mp3", "media") if _frame_follows(head) else None


_RATES = {
    (3, 1): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (3, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (3, 3): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0),
    (2, 1): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (2, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (2, 3): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0),
}
_SAMPLING = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def _frame_follows(head: bytes) -> bool:
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    rate, sampling, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer == 0 or sampling == 3 or rate in (0, 15):
        return False
    bits = _RATES[3 if version == 3 else 2, layer][rate] * 1000
    hertz = _SAMPLING[version][sampling]
    if layer == 3:
        size = (12 * bits // hertz + padding) * 4
    else:
        size = (144 if version == 3 or layer == 2 else 72) * bits // hertz + padding
    return len(head) < size + 2 or (head[size] == 0xFF and head[size + 1] & 0xFE == head[1] & 0xFE)

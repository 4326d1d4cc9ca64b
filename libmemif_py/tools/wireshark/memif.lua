-- SPDX-License-Identifier: Apache-2.0
-- Dissector for Wireshark: control messages of memif, from the traces that `memif relay` and
-- `memif bridge` write with --control-trace. docs/reference/control-trace.md has the header of each
-- packet, docs/protocol.md the messages. What a peer wrote may be anything, and is shown.

local HEADER_SIZE, MESSAGE_SIZE, TYPE_SIZE = 16, 128, 2
local LONGEST_TEXT = 150
local FORMAT, MASTER, SLAVE, UNKNOWN_FDS = 1, 1, 2, 255

local ROLES = { [MASTER] = "master", [SLAVE] = "slave" }
local DIRECTIONS = { [0] = "received", [1] = "sent" }
local MODES = { [0] = "ethernet", [1] = "ip", [2] = "punt/inject" }
local VERSIONS = { [256] = "1.0", [512] = "2.0" }
local AGREED = { [0] = "INIT was not yet sent", [256] = "1.0", [512] = "2.0" }

local memif = Proto("memif", "memif control message")

-- ---- fields ----

local CONSTRUCTORS = {
    u8 = { ProtoField.uint8, 1 },
    u16 = { ProtoField.uint16, 2 },
    u32 = { ProtoField.uint32, 4 },
    u64 = { ProtoField.uint64, 8 },
    -- A field has one type in all layouts: that of the widest.
    u32_of_u64 = { ProtoField.uint64, 4 },
}

-- A number. `rules`: `names` of values, `known` if only these are right, or the `most` it may be.
local function number(kind, label, key, rules)
    rules = rules or {}
    local make, size = table.unpack(CONSTRUCTORS[kind])
    return { make = make, size = size, label = label, key = key, base = base.DEC,
             names = rules.names, known = rules.known, most = rules.most }
end

-- A text that ends at its first zero byte, or with the field.
local function text(size, label, key)
    return { make = ProtoField.string, size = size, label = label, key = key, is_text = true }
end

local function bytes(size, label, key)
    return { make = ProtoField.bytes, size = size, label = label, key = key, is_bytes = true }
end

local version = { names = VERSIONS, known = true }
local index = { most = 255 }
local highest_index = { most = 256 } -- VPP counts one more, which nobody uses
local log2 = { most = 14 }

local flags = number("u16", "Flags", "flags", { most = 1 })
local ring = number("u16", "Index", "index", index)
local region = number("u16", "Region", "region", index)
local ring_size = number("u8", "Log2 of the ring size", "log2_ring_size", log2)

-- What follows the type, in order. ADD_RING has a layout for each version.
local MESSAGES = {
    { name = "ACK", from = MASTER, fields = {} },
    { name = "HELLO", from = MASTER, fields = {
        text(32, "Name", "name"),
        number("u16", "Lowest version", "min_version", { names = VERSIONS }),
        number("u16", "Highest version", "max_version", { names = VERSIONS }),
        number("u16", "Highest region index", "max_region", highest_index),
        number("u16", "Highest index of a master-to-slave ring", "max_m2s_ring", highest_index),
        number("u16", "Highest index of a slave-to-master ring", "max_s2m_ring", highest_index),
        number("u8", "Log2 of the largest ring size", "max_log2_ring_size", log2),
    } },
    { name = "INIT", from = SLAVE, fields = {
        number("u16", "Version", "version", version),
        number("u32", "Interface id", "interface_id"),
        number("u8", "Mode", "mode", { names = MODES, known = true }),
        bytes(24, "Secret (a trace has zeros)", "secret"),
        text(32, "Name", "name"),
    } },
    { name = "ADD_REGION", from = SLAVE, fds = 1, fields = {
        number("u16", "Index", "index", index),
        number("u64", "Size", "size"),
    } },
    { name = "ADD_RING", from = SLAVE, fds = 1, layouts = {
        [256] = { flags, ring, region, number("u64", "Offset", "offset"), ring_size },
        [512] = { flags, ring, region, number("u32_of_u64", "Offset", "offset"), ring_size,
            number("u16", "Size of the private header", "private_hdr_size") },
    } },
    { name = "CONNECT", from = SLAVE, fields = { text(32, "Interface name", "if_name") } },
    { name = "CONNECTED", from = MASTER, fields = { text(32, "Interface name", "if_name") } },
    { name = "DISCONNECT", fields = {
        number("u32", "Code", "code"),
        text(96, "Reason", "reason"),
    } },
}

local HEADER = {
    number("u8", "Format", "format"),
    number("u8", "Direction", "direction", { names = DIRECTIONS, known = true }),
    number("u8", "Descriptors", "descriptors"),
    number("u8", "Sender", "sender", { names = ROLES, known = true }),
    number("u32", "Process at the other end", "pid"),
    number("u32", "Connection", "connection"),
    number("u16", "Version", "agreed_version", { names = AGREED }),
    number("u16", "Reserved", "reserved", { most = 0 }),
}

local TYPES = {}
for type, message in ipairs(MESSAGES) do
    TYPES[type] = message.name
end

local TYPE = number("u16", "Type", "type", { names = TYPES })
local s2m = ProtoField.bool("memif.add_ring.s2m", "Slave to master", 16, nil, 1)
local slots = ProtoField.uint32("memif.add_ring.slots", "Slots")
local unread = ProtoField.bytes("memif.unread", "Not understood")

local registered = { s2m, slots, unread }
local by_name = {}

-- Makes the fields PREFIX.KEY. Fields of two layouts with one name are one.
local function register(prefix, fields)
    for _, field in ipairs(fields) do
        local name = prefix .. "." .. field.key
        if not by_name[name] then
            by_name[name] = field.make(name, field.label, field.base, field.names)
            table.insert(registered, by_name[name])
        end
        field.proto = by_name[name]
    end
end

register("memif", HEADER)
register("memif", { TYPE })
for _, message in ipairs(MESSAGES) do
    for _, fields in pairs(message.layouts or { message.fields }) do
        register("memif." .. message.name:lower(), fields)
    end
end
memif.fields = registered

-- ---- what is wrong ----

local function finding(name, label, group, severity)
    return ProtoExpert.new("memif." .. name, label, expert.group[group], expert.severity[severity])
end

local out_of_range = finding("out_of_range", "Value out of range", "PROTOCOL", "WARN")
local wrong_size = finding("wrong_size", "Message of a wrong size", "MALFORMED", "ERROR")
local wrong_type = finding("wrong_type", "Unknown message", "PROTOCOL", "ERROR")
local wrong_sender = finding("wrong_sender", "Message of the other role", "PROTOCOL", "ERROR")
local wrong_fds = finding("wrong_descriptors", "Wrong number of descriptors", "PROTOCOL", "ERROR")
local no_version = finding("no_version", "Layout is not known", "UNDECODED", "WARN")
local no_common = finding("no_common_version", "No version that is known", "PROTOCOL", "WARN")
local refused = finding("disconnect", "End of the connection", "SEQUENCE", "NOTE")
local closed = finding("closed", "The sender closed the connection", "SEQUENCE", "CHAT")
memif.experts = { out_of_range, wrong_size, wrong_type, wrong_sender, wrong_fds, no_version,
                  no_common, refused, closed }

-- ---- dissection ----

-- The characters of UTF-8 that may be shown.
local SHOWN = {
    "^[ -~]+",
    "^\xc2[\xa0-\xbf]",
    "^[\xc3-\xdf][\x80-\xbf]",
    "^\xe0[\xa0-\xbf][\x80-\xbf]",
    "^[\xe1-\xec\xee\xef][\x80-\xbf][\x80-\xbf]",
    "^\xed[\x80-\x9f][\x80-\xbf]",
    "^\xf0[\x90-\xbf][\x80-\xbf][\x80-\xbf]",
    "^[\xf1-\xf3][\x80-\xbf][\x80-\xbf][\x80-\xbf]",
    "^\xf4[\x80-\x8f][\x80-\xbf][\x80-\xbf]",
}

local function first_shown(text, at)
    for _, pattern in ipairs(SHOWN) do
        local found = text:match(pattern, at)
        if found then
            return found
        end
    end
end

-- A text of the peer's among words of ours. In fields of its own Wireshark does the same. It cuts
-- long lines, also within a character, so a text with much to escape is cut before.
local function printable(text)
    local words, at = "", 1
    while at <= #text do
        local found = first_shown(text, at)
        words = words .. (found or string.format("\\x%02x", text:byte(at)))
        at = at + (found and #found or 1)
        if #words > LONGEST_TEXT then
            return words .. "..."
        end
    end
    return words
end

local function value_of(field, range)
    if field.is_text then
        return range:raw():match("^[^\0]*")
    elseif field.is_bytes then
        return range:raw()
    elseif field.size == 8 then
        return range:le_uint64()
    end
    return range:le_uint()
end

local function check(field, item, value)
    if field.known and not field.names[value] then
        item:add_proto_expert_info(out_of_range, field.label .. " " .. value .. " is not known")
    elseif field.most and value > field.most then
        local limit = ", expected at most " .. field.most
        item:add_proto_expert_info(out_of_range, field.label .. " " .. value .. limit)
    end
end

-- Shows the fields; returns their values and items by key.
local function add_fields(fields, data, tree)
    local values, items, at = {}, {}, 0
    for _, field in ipairs(fields) do
        local range = data:range(at, field.size)
        local value = value_of(field, range)
        local item
        if field.is_text and #value > 0 then
            item = tree:add_packet_field(field.proto, range(0, #value), ENC_UTF_8)
        elseif field.is_text then
            item = tree:add(field.proto, range, "")
        elseif field.is_bytes then
            item = tree:add(field.proto, range)
        else
            item = tree:add_le(field.proto, range)
            check(field, item, value)
        end
        values[field.key], items[field.key] = value, item
        at = at + field.size
    end
    return values, items
end

local function quoted(name)
    return '"' .. printable(name) .. '"'
end

-- What only one kind of message has: more checks, and its words in the column Info.
local DETAILS = {
    HELLO = function(values, items)
        local low, high = values.min_version, values.max_version
        if not (low <= 256 and 256 <= high or low <= 512 and 512 <= high) then
            local found = "Versions " .. low .. " to " .. high .. ", expected 256 or 512 among them"
            items.max_version:add_proto_expert_info(no_common, found)
        end
        return quoted(values.name) .. ", versions " .. low .. " to " .. high
    end,
    INIT = function(values)
        local mode = MODES[values.mode] or "mode " .. values.mode
        return "id " .. values.interface_id .. ", version " .. values.version .. ", " .. mode ..
            ", " .. quoted(values.name)
    end,
    ADD_REGION = function(values, items)
        if values.size == UInt64(0) then
            items.size:add_proto_expert_info(out_of_range, "Size 0, expected at least 1")
        end
        return values.index .. ", " .. tostring(values.size) .. " bytes"
    end,
    ADD_RING = function(values, items)
        local is_s2m = values.flags % 2 == 1
        items.flags:add(s2m, items.range(0, 2), values.flags)
        local size = values.log2_ring_size <= 14 and math.floor(2 ^ values.log2_ring_size) or 0
        if size > 0 then
            items.log2_ring_size:add(slots, size):set_generated()
        end
        return (is_s2m and "S2M " or "M2S ") .. values.index .. ", " .. size ..
            " slots, region " .. values.region .. ", offset " .. tostring(values.offset)
    end,
    CONNECT = function(values) return quoted(values.if_name) end,
    CONNECTED = function(values) return quoted(values.if_name) end,
    DISCONNECT = function(values, items)
        local why = "code " .. values.code .. ": " .. printable(values.reason)
        items.reason:add_proto_expert_info(refused, why)
        return why
    end,
}

-- Who sends a message of this kind, and with how many descriptors.
local function check_sender(message, header, tree)
    if message.from and ROLES[header.sender] and header.sender ~= message.from then
        tree:add_proto_expert_info(wrong_sender, message.name .. " from the " ..
            ROLES[header.sender] .. ", expected it from the " .. ROLES[message.from])
    end
    local wanted, count = message.fds or 0, header.descriptors
    if count ~= wanted and not (count == UNKNOWN_FDS and wanted > 0) then
        local found = count == UNKNOWN_FDS and "at least 1 descriptor" or count .. " descriptors"
        tree:add_proto_expert_info(wrong_fds, message.name .. " with " .. found ..
            ", expected " .. wanted)
    end
end

-- Shows a message; returns its words for the column Info.
local function add_message(data, header, tree)
    local type = data:range(0, TYPE_SIZE):le_uint()
    local item = tree:add_le(TYPE.proto, data:range(0, TYPE_SIZE))
    local message = MESSAGES[type]
    local rest = data:range(TYPE_SIZE)
    if not message then
        local found = "Type " .. type .. ", expected 1 to " .. #MESSAGES
        item:add_proto_expert_info(wrong_type, found)
        tree:add(unread, rest)
        return found
    end
    check_sender(message, header, item)
    local fields = message.fields or message.layouts[header.agreed_version]
    if not fields then
        local found = message.name .. " of version " .. header.agreed_version
        item:add_proto_expert_info(no_version, found .. ", expected 256 or 512")
        tree:add(unread, rest)
        return found
    end
    local values, items = add_fields(fields, rest, tree)
    items.range = function(at, size) return rest:range(at, size) end
    local words = DETAILS[message.name]
    return message.name .. (words and " " .. words(values, items) or "")
end

-- Others use the link type too; memif itself records packets of the mode punt/inject with it. A trace
-- says in its interfaces what it is. In a file without descriptions, the header has to be plausible.
local description = Field.new("frame.interface_description")

local function is_ours(tvb)
    if tvb:len() < HEADER_SIZE or tvb(0, 1):uint() ~= FORMAT then
        return false
    end
    local told = description()
    if told then
        return tostring(told.value):find("memif control messages", 1, true) == 1
    end
    local reserved = tvb(14, 2):uint()
    return DIRECTIONS[tvb(1, 1):uint()] and ROLES[tvb(3, 1):uint()] and reserved == 0
end

-- Whatever was there for this link type before: what its user has chosen, for example.
local link_types = DissectorTable.get("wtap_encap")
local before = link_types:get_dissector(wtap.USER0)

function memif.dissector(tvb, pinfo, root)
    if not is_ours(tvb) then
        return before and before:call(tvb, pinfo, root) or 0
    end
    local tree = root:add(memif, tvb())
    local record = tree:add(memif, tvb(0, HEADER_SIZE), "Record")
    local header = add_fields(HEADER, tvb(0, HEADER_SIZE), record)
    local size = tvb:reported_len() - HEADER_SIZE
    local words
    if size == 0 then
        words = "closed"
        tree:add_proto_expert_info(closed)
    elseif size ~= MESSAGE_SIZE or tvb:len() < HEADER_SIZE + MESSAGE_SIZE then
        words = "Message of " .. size .. " bytes"
        tree:add_proto_expert_info(wrong_size, words .. ", expected " .. MESSAGE_SIZE)
        if tvb:len() > HEADER_SIZE then
            tree:add(unread, tvb(HEADER_SIZE))
        end
    else
        words = add_message(tvb(HEADER_SIZE), header, tree)
    end
    pinfo.cols.protocol:set("memif")
    pinfo.cols.src:set(ROLES[header.sender] or "?")
    pinfo.cols.dst:set(ROLES[header.sender] and ROLES[3 - header.sender] or "?")
    pinfo.cols.info:set(words)
    tree:append_text(": " .. words)
    return tvb:len()
end

link_types:add(wtap.USER0, memif)

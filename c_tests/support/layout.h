/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LAYOUT_H
#define LAYOUT_H

/* Promises of a public header that are kept at compile time. */

#include <stddef.h>
#include <stdint.h>

#define VALUE(name, value) _Static_assert((name) == (value), #name " is " #value)
#define SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type " has " #bytes " bytes")
#define FIELD(type, field, offset, field_type)                                                     \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field " is at " #offset);         \
    _Static_assert(_Generic(&((type *)0)->field, field_type *: 1, default: 0),                     \
                   #type "." #field " is " #field_type)
#define ARRAY(type, field, offset, element, count)                                                 \
    _Static_assert(offsetof(type, field) == (offset), #type "." #field " is at " #offset);         \
    _Static_assert(_Generic(&((type *)0)->field, element(*)[count]: 1, default: 0),                \
                   #type "." #field " is " #element "[" #count "]")
#define TEXT(type, field, offset, bytes) ARRAY(type, field, offset, uint8_t, bytes)
#define SAME(type, other)                                                                          \
    _Static_assert(_Generic((type *)0, other *: 1, default: 0), #type " is " #other)
/* Function types, not pointers: programs declare parameters and variables as `type *`. */
#define FUNCTION_TYPE(result, type, ...)                                                           \
    _Static_assert(_Generic((type *)0, result (*)(__VA_ARGS__): 1, default: 0),                    \
                   #type " is " #result " (" #__VA_ARGS__ ")")
#define FUNCTION(result, name, ...)                                                                \
    _Static_assert(_Generic(&name, result (*)(__VA_ARGS__): 1, default: 0),                        \
                   #name " is " #result " (" #__VA_ARGS__ ")")

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Burst.match: which packets have certain bytes at a certain place. The bytes are compared as words
 * of 64 bits; the last word may overlap the one before. Fewer bytes than a word are read as one
 * where a row has room for it.
 */
#include "python/burst.h"

#include <string.h>

enum { WORD = sizeof(uint64_t), MOST_BYTES = 256, MOST_WORDS = MOST_BYTES / WORD };

struct pattern {
    Py_ssize_t offset; /* in the packet */
    Py_ssize_t length; /* of the bytes */
    Py_ssize_t words;
    Py_ssize_t at[MOST_WORDS]; /* of each word, from `offset` on */
    uint64_t value[MOST_WORDS];
    uint64_t mask[MOST_WORDS];
};

static void add_word(struct pattern *pattern, const uint8_t *value, const uint8_t *mask,
                     Py_ssize_t at)
{
    Py_ssize_t bytes = pattern->length - at < WORD ? pattern->length - at : WORD;
    uint64_t *word = &pattern->value[pattern->words], *kept = &pattern->mask[pattern->words];
    *word = 0;
    *kept = 0;
    memcpy(word, value + at, (size_t)bytes);
    memcpy(kept, mask + at, (size_t)bytes);
    *word &= *kept;
    pattern->at[pattern->words++] = at;
}

static void compile(struct pattern *pattern, const uint8_t *value, const uint8_t *mask)
{
    Py_ssize_t at = 0;
    pattern->words = 0;
    for (; at + WORD <= pattern->length; at += WORD)
        add_word(pattern, value, mask, at);
    if (at < pattern->length)
        add_word(pattern, value, mask, pattern->length > WORD ? pattern->length - WORD : 0);
}

static bool row_matches(const struct pattern *pattern, const uint8_t *bytes)
{
    uint64_t differ = 0;
    for (Py_ssize_t i = 0; i < pattern->words; i++) {
        uint64_t word;
        memcpy(&word, bytes + pattern->at[i], WORD);
        differ |= (word & pattern->mask[i]) ^ pattern->value[i];
    }
    return differ == 0;
}

/* Fewer bytes than a word, at the end of the row. */
static bool end_matches(const struct pattern *pattern, const uint8_t *bytes)
{
    uint64_t word = 0;
    memcpy(&word, bytes, (size_t)pattern->length);
    return ((word & pattern->mask[0]) ^ pattern->value[0]) == 0;
}

static Py_ssize_t find(const Burst *burst, const struct pattern *pattern, uint32_t *found)
{
    const uint8_t *bytes = burst->rows + pattern->offset;
    const Py_ssize_t end = pattern->offset + pattern->length;
    const bool whole = pattern->length >= WORD || pattern->offset + WORD <= burst->width;
    Py_ssize_t n = 0;
    if (end > burst->width)
        return 0;
    for (Py_ssize_t i = 0; i < burst->count; i++, bytes += burst->stride) {
        if ((Py_ssize_t)burst->lengths[i] < end)
            continue;
        found[n] = (uint32_t)i; /* counted if it matches: no branch that is hard to predict */
        n += whole ? row_matches(pattern, bytes) : end_matches(pattern, bytes);
    }
    return n;
}

static PyObject *indices_of(Burst *burst, const struct pattern *pattern)
{
    const Py_ssize_t item = sizeof(uint32_t);
    /* Room for one more: each row is written before it is known to match. */
    PyObject *bytes = PyByteArray_FromStringAndSize(NULL, (burst->count + 1) * item);
    if (bytes == NULL)
        return NULL;
    if (!mif_py_burst_add_view(burst)) {
        Py_DECREF(bytes);
        return NULL;
    }
    Py_ssize_t n = find(burst, pattern, (uint32_t *)(void *)PyByteArray_AS_STRING(bytes));
    mif_py_burst_end_view(burst);
    if (PyByteArray_Resize(bytes, n * item) != 0) {
        Py_DECREF(bytes);
        return NULL;
    }
    PyObject *view = PyMemoryView_FromObject(bytes);
    Py_DECREF(bytes);
    PyObject *indices = view == NULL ? NULL : PyObject_CallMethod(view, "cast", "s", "I");
    Py_XDECREF(view);
    return indices;
}

static bool check(const Py_buffer *value, const Py_buffer *mask, Py_ssize_t offset)
{
    if (value->len < 1 || value->len > MOST_BYTES)
        PyErr_Format(PyExc_ValueError, "value has %zd bytes, expected 1 to %d", value->len,
                     (int)MOST_BYTES);
    else if (mask->buf != NULL && mask->len != value->len)
        PyErr_Format(PyExc_ValueError, "mask has %zd bytes, expected %zd as value", mask->len,
                     value->len);
    else if (offset < 0 || offset > UINT16_MAX)
        PyErr_Format(PyExc_ValueError, "offset %zd, expected 0 to %d", offset, (int)UINT16_MAX);
    else
        return true;
    return false;
}

PyObject *mif_py_burst_match(PyObject *self, PyObject *arguments)
{
    static const uint8_t all[MOST_BYTES] = {[0 ... MOST_BYTES - 1] = 0xFF};
    Py_buffer value = {0}, mask = {0};
    struct pattern pattern;
    PyObject *indices = NULL, *given;
    if (!PyArg_ParseTuple(arguments, "y*nO", &value, &pattern.offset, &given))
        return NULL;
    bool good = given == Py_None || PyObject_GetBuffer(given, &mask, PyBUF_SIMPLE) == 0;
    if (good && check(&value, &mask, pattern.offset)) {
        pattern.length = value.len;
        compile(&pattern, value.buf, mask.buf == NULL ? all : mask.buf);
        indices = indices_of((Burst *)self, &pattern);
    }
    PyBuffer_Release(&value);
    if (mask.obj != NULL)
        PyBuffer_Release(&mask);
    return indices;
}

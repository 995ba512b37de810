#include "config.h"

#include <ctype.h>
#include <stdlib.h>

#include "core/json/json.h"

/* The significant digits of v without its sign, as few as give v again. Returns how many; v is
 * 0.d1d2d3… × 10^*point. */
static int
shortest_digits(double v, char digits[18], int *point)
{
	char text[40];
	const char *p;
	int n = 0;

	for (int precision = 0; precision <= 16; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision, v);
		if (strtod(text, NULL) == v)
			break;
	}
	/* Whatever the locale puts between the digits, only digits are taken. */
	for (p = text; *p != 'e' && *p != '\0'; p++)
		if (isdigit((unsigned char)*p))
			digits[n++] = *p;
	*point = *p == 'e' ? atoi(p + 1) + 1 : n;
	while (n > 1 && digits[n - 1] == '0')
		n--;
	return n;
}

mx_error *
mx_json_check_integers(const json_t *v, unsigned depth)
{
	json_t *item;
	const char *key;
	size_t i;

	if (depth == 0)
		return mx_error_new(MX_E_BAD_JSON, "JSON nested too deeply");
	if (json_is_real(v))
		return mx_error_new(MX_E_BAD_JSON, "a number that is no integer");
	if (json_is_object(v)) {
		json_object_foreach((json_t *)v, key, item)
			MX_TRY(mx_json_check_integers(item, depth - 1));
	} else if (json_is_array(v)) {
		json_array_foreach(v, i, item)
			MX_TRY(mx_json_check_integers(item, depth - 1));
	}
	return NULL;
}

static void
zeros(struct mx_buf *b, int n)
{
	while (n-- > 0)
		mx_buf_byte(b, '0');
}

/* As Python writes it, because rooms from before fractions were forbidden are signed in that form:
 * an exponent for less than 1e-4 and from 1e16 on, and otherwise always a point. */
void
mx_json_real(double v, struct mx_buf *b)
{
	char digits[18];
	int point, n = shortest_digits(v, digits, &point);

	if (v < 0 || (v == 0 && 1 / v < 0))
		mx_buf_byte(b, '-');
	if (v != 0 && (point < -3 || point > 16)) {
		int exponent = point - 1;

		mx_buf_byte(b, digits[0]);
		if (n > 1) {
			mx_buf_byte(b, '.');
			mx_buf_add(b, digits + 1, (size_t)n - 1);
		}
		mx_buf_printf(b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
	} else if (point <= 0) {
		mx_buf_str(b, MX_S("0."));
		zeros(b, -point);
		mx_buf_add(b, digits, (size_t)n);
	} else if (n <= point) {
		mx_buf_add(b, digits, (size_t)n);
		zeros(b, point - n);
		mx_buf_str(b, MX_S(".0"));
	} else {
		mx_buf_add(b, digits, (size_t)point);
		mx_buf_byte(b, '.');
		mx_buf_add(b, digits + point, (size_t)(n - point));
	}
}

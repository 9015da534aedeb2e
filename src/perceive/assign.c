/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The assignment of least total cost: rows are added one by one along the shortest path of reduced costs (Kuhn 1955; Jonker and
 * Volgenant 1987), in O(rows² columns). Pairs that may never be are a cost so high that a row rather stays alone: each row has a
 * column of its own for that. */
#include "perceive_internal.h"

#include <math.h>
#include <string.h>

/* The cost of row i (from 1) in column j (from 1): real columns first, then the rows' own. */
static double cost_at(const double *cost, int n_cols, int i, int j) {
  if (j <= n_cols) return cost[(i - 1) * n_cols + j - 1];
  return j - n_cols == i ? MYNAH__ASSIGN_NEVER / 2 : 4 * MYNAH__ASSIGN_NEVER;
}

/* Potentials and matching of e-maxx's well-known form; column 0 is where a new row starts. */
static void add_row(mynah__assign_room *m, const double *cost, int n_cols, int n_all, int row) {
  int j0 = 0;
  m->row_of[0] = row;
  for (int j = 0; j <= n_all; j++) m->least[j] = INFINITY, m->is_used[j] = false;
  do {
    int i0 = m->row_of[j0], next = 0;
    double delta = INFINITY;
    m->is_used[j0] = true;
    for (int j = 1; j <= n_all; j++) {
      if (m->is_used[j]) continue;
      double reduced = cost_at(cost, n_cols, i0, j) - m->u[i0] - m->v[j];
      if (reduced < m->least[j]) m->least[j] = reduced, m->way[j] = j0;
      if (m->least[j] < delta) delta = m->least[j], next = j;
    }
    for (int j = 0; j <= n_all; j++) {
      if (m->is_used[j]) m->u[m->row_of[j]] += delta, m->v[j] -= delta;
      else m->least[j] -= delta;
    }
    j0 = next;
  } while (m->row_of[j0] != 0);
  while (j0) {
    int before = m->way[j0];
    m->row_of[j0] = m->row_of[before];
    j0 = before;
  }
}

void mynah__assign(mynah__assign_room *m, const double *cost, int n_rows, int n_cols, int *column_of) {
  int n_all = n_cols + n_rows;
  memset(m, 0, sizeof *m);
  for (int i = 1; i <= n_rows; i++) add_row(m, cost, n_cols, n_all, i);
  for (int i = 0; i < n_rows; i++) column_of[i] = -1;
  for (int j = 1; j <= n_cols; j++)
    if (m->row_of[j] > 0 && cost[(m->row_of[j] - 1) * n_cols + j - 1] < MYNAH__ASSIGN_NEVER / 2) column_of[m->row_of[j] - 1] = j - 1;
}

/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* How the features of well-known tasks are described. */
#include <mynah/dataset.h>

/* Push-T's goal stands at (256, 256) px, turned by pi/4, so the T's own axis of symmetry lies on the square's diagonal
 * x + y = 512 px. Reflected there, any episode is another episode of the same task:
 * (x, y) -> (512 - y, 512 - x), angle -> pi/2 - angle. The recorded keypoints do not lie symmetrically on the T. */
void mynah_pusht_features(mynah_feature *state, mynah_feature *points, mynah_feature *action) {
  static const float size_px = 512, quarter_turn = 1.57079632679489662f;
  *state = mynah_feature_vector("observation.state", 5, "agent_x,agent_y,block_x,block_y,block_angle", "px");
  state->angle_mask = 1 << 4;
  mynah_feature_mirror(state, (int[]){-2, -1, -4, -3, -5}, (float[]){size_px, size_px, size_px, size_px, quarter_turn});
  *points = mynah_feature_vector("observation.environment_state", 18, "", "px");
  *action = mynah_feature_vector("action", 2, "x,y", "px");
  mynah_feature_mirror(action, (int[]){-2, -1}, (float[]){size_px, size_px});
}

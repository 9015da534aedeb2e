/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* From a picture to steering: the best box's centre, through a linear policy.
 * usage: example_look DETECTOR.safetensors PICTURE.jpg [class] */
#include <mynah/mynah.h>

#include <stdio.h>

static mynah_status steer(const char *model, const char *picture, const char *class_name) {
  mynah_detector *detector;
  mynah_eye *eye;
  mynah_image image;
  mynah_detect_config config;
  const mynah_box *boxes;
  int n;
  mynah_config_default(&mynah_detect_table, &config);
  MYNAH_TRY(mynah_copy_text(config.classes, sizeof config.classes, class_name));
  MYNAH_TRY(mynah_detector_load(model, &detector));
  MYNAH_TRY(mynah_eye_create(detector, &config, &eye));
  MYNAH_TRY(mynah_image_load(picture, &image));
  MYNAH_TRY(mynah_eye_look(eye, &image, &boxes, &n));
  if (n == 0) return mynah_fail(MYNAH_NOT_FOUND, "%s: nothing to steer by", picture);
  float cx = (boxes[0].x1 + boxes[0].x2) / 2 / (float)image.width; /* 0 left … 1 right */
  float steering = 1.8f * cx - 0.9f;
  printf("%s at %.3f of the width: steering %.3f\n", mynah_detector_class(detector, boxes[0].label), (double)cx, (double)steering);
  mynah_image_deinit(&image);
  mynah_eye_destroy(eye);
  mynah_detector_destroy(detector);
  return MYNAH_OK;
}

int main(int argc, char **argv) {
  if (argc >= 3 && steer(argv[1], argv[2], argc > 3 ? argv[3] : "") == MYNAH_OK) return 0;
  fprintf(stderr, "%s\n", argc < 3 ? "usage: example_look DETECTOR.safetensors PICTURE.jpg [class]" : mynah_error());
  return 1;
}

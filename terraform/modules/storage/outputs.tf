output "bucket" {
  description = "The bucket's name."
  value       = aws_s3_bucket.this.bucket
}

output "bucket_arn" {
  description = "The bucket."
  value       = aws_s3_bucket.this.arn
}

output "binary_url" {
  description = "Where hosts get throng from."
  value       = "s3://${aws_s3_object.binary.bucket}/${aws_s3_object.binary.key}"
}

output "binary_sha256" {
  description = "What they must get."
  value       = filesha256(var.binary)
}

// AWS's SDK lists the bucket and reads the pictures under their documented keys.
// node pictures.cjs ENDPOINT BUCKET ACCESS SECRET KEY... prints {listed, read: {key: bytes}}.
const { S3Client, ListObjectsV2Command, GetObjectCommand } = require("@aws-sdk/client-s3");

const [endpoint, bucket, accessKeyId, secretAccessKey, ...keys] = process.argv.slice(2);

async function main() {
  const client = new S3Client({
    endpoint,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
  });
  const listed = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  const read = {};
  for (const key of keys) {
    try {
      const found = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
      read[key] = (await found.Body.transformToByteArray()).length;
    } catch (error) {
      read[key] = error.name;
    }
  }
  console.log(JSON.stringify({ listed: listed.KeyCount, read }));
}

main();
